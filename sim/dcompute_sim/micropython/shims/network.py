# mypy: ignore-errors
# ESP32 `network`: WLAN interfaces driven by a radio environment that the testbed sets (see Radio).
#
# Written to the behaviour of MicroPython's ESP32 port: after connect() the interface retries by itself until
# disconnect(); status() reports the reason of the last failure; connect() while an attempt runs is an error.
import hashlib

import _board

STA_IF = 0
AP_IF = 1
MODE_11B = 1
MODE_11G = 2
MODE_11N = 4
MODE_LR = 8
AUTH_OPEN = 0
AUTH_WEP = 1
AUTH_WPA_PSK = 2
AUTH_WPA2_PSK = 3
AUTH_WPA_WPA2_PSK = 4
AUTH_WPA2_ENTERPRISE = 5
AUTH_WPA3_PSK = 6
AUTH_WPA2_WPA3_PSK = 7
AUTH_WAPI_PSK = 8
AUTH_OWE = 9
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_CONNECT_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204
STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY = 210
STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD = 211
STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD = 212

_CONNECTION_FAIL = 205  # what a weak signal gives; status() shows it as a wrong password
_ASSOC_LEAVE = 8  # after disconnect()
_WEAK_DBM = -85
_DEAF_DBM = -95  # what is weaker is not heard
_GATEWAY = "10.0.255.254"
_now_us = _board.kernel.now_us

__getattr__ = _board.missing("network")

_hostname = "mpy-esp32"
_country = "XX"


class Radio:
    # The air around this board. The testbed changes it; the interface finds out as a board would.
    ap = True  # the access point is on the air
    password_ok = True  # False, or the reason with which it is refused: some access points say 2 or 15
    ssid = None  # when set, only this network exists
    password = None  # when set, only this password is right
    rssi = -55  # dBm; below -85 every other attempt to join fails
    points = ()  # where there are several, by channel, then by strength: [name, ssid, channel, dBm or None]
    stations = ()  # who joins the board's own access point as long as it is on: MACs in hexadecimal
    scan_ms = 100  # to find, or not to find, the access point
    join_ms = 100  # to associate
    dhcp_ms = 100  # to get an address, None: nobody answers; a static address needs no answer
    beacon_ms = 6000  # until the chip notices that the access point has gone
    dns_patience_ms = 7000  # lwIP's, until a name that nobody answers for is given up (in real time)
    silent = False  # the link is dead though the WLAN says connected

    def heard(self):
        # [name, ssid (None: whatever is asked for), channel, dBm, bssid] of each access point.
        if not self.ap:
            return []
        if not self.points:
            return [["", self.ssid, 6, self.rssi, _bssid("")]]
        return [
            point + [_bssid(point[0])]
            for point in self.points
            if point[3] is not None and point[3] >= _DEAF_DBM
        ]

    def update(self, changes, at_us=None):
        # `at_us`: when it happened; a board in virtual time learns of it later.
        at_us = _now_us() if at_us is None else at_us
        _sta.advance(at_us)
        for key in changes:
            getattr(self, key)  # an unknown key is the testbed's mistake
            setattr(self, key, changes[key])
        _sta.air_changed(at_us)
        _stations_changed()


class _Station:
    # The interface's state, advanced to the present whenever someone looks. `phase` and `due_us`:
    #   idle - | scan: then join or fail | join: then dhcp or fail | dhcp: then up | up: (due: beacon timeout)
    def __init__(self):
        self.active = False
        self.phase = "idle"
        self.due_us = 0
        self.reason = 0
        self.wanted = False
        self.ssid = ""
        self.key = ""
        self.bssid = None  # the only one that will do
        self.point = None  # the one it joins or is on, by name
        self.attempts = 0
        self.reconnects = 0  # tries; 0: for ever
        self.failures = 0
        self.static = None
        self.stuck = None  # "silent", "raises": how it fails to join until it is started afresh
        self._advancing = False

    def advance(self, now_us=None):
        if not self.due_us or self._advancing:  # in real time another thread may be at it
            return
        self._advancing = True
        now_us = _now_us() if now_us is None else now_us
        while self.due_us and now_us >= self.due_us:
            self._step(self.due_us)
        self._advancing = False

    def _go(self, phase, now_us, ms):
        self.phase = phase
        self.due_us = max(1, now_us + ms * 1000) if ms is not None else 0

    def _step(self, now_us):
        if self.phase == "scan":
            self.attempts += 1
            if self.stuck:
                self.fail(STAT_ASSOC_FAIL, now_us)
            elif not self._find():
                self.fail(STAT_NO_AP_FOUND, now_us)
            else:
                self._go("join", now_us, radio.join_ms)
        elif self.phase == "join":
            signal = self.signal()
            if signal is None:
                self.fail(STAT_NO_AP_FOUND, now_us)
            elif radio.password_ok is not True or (radio.password is not None and radio.password != self.key):
                self.fail(radio.password_ok if radio.password_ok in (2, 15) else STAT_WRONG_PASSWORD, now_us)
            elif signal[3] < _WEAK_DBM and self.attempts % 2:
                self.fail(_CONNECTION_FAIL, now_us)
            else:
                self._go("dhcp", now_us, 0 if self.static else radio.dhcp_ms)
        elif self.phase == "dhcp":
            self._go("up", now_us, None if self.signal() else radio.beacon_ms)
            self.reason = 0
            self.failures = 0
            self._tell(STAT_GOT_IP)
        else:  # up, and the access point has been gone for long enough
            self.fail(STAT_BEACON_TIMEOUT, now_us)

    def _find(self):
        # The port leaves ESP-IDF its fast scan: the first channel that has the network, there the strongest.
        # A better access point further up is not seen, and none is looked for while this one is heard.
        for name, ssid, _, _, bssid in radio.heard():
            if ssid in (None, self.ssid) and self.bssid in (None, bssid):
                self.point = name
                return True
        return False

    def signal(self):
        # Of `point`, as `Radio.heard` has it; None: it is not heard.
        for point in radio.heard():
            if point[0] == self.point:
                return point
        return None

    def fail(self, reason, now_us):
        was_up = self.phase == "up"
        self.reason = reason
        self.failures += 1
        self.phase = "idle"
        self.due_us = 0
        if self.wanted and (not self.reconnects or self.failures < self.reconnects):
            self._go("scan", now_us, radio.scan_ms + (2400 if reason == STAT_NO_AP_FOUND else 0))
        if was_up or self.failures == 1:
            self._tell(reason)

    def air_changed(self, now_us):
        if self.phase == "up":
            if self.signal():
                self.due_us = 0
            elif not self.due_us:
                self.due_us = now_us + radio.beacon_ms * 1000
        elif self.phase == "dhcp":
            if not self.signal():
                self.fail(STAT_BEACON_TIMEOUT, now_us)
            elif not self.due_us and radio.dhcp_ms is not None:
                self.due_us = now_us + radio.dhcp_ms * 1000

    def start(self):
        if not self.active:
            raise OSError("Wifi Not Started")
        self.wanted = True
        self.failures = 0
        self._go("scan", _now_us(), radio.scan_ms)
        self._tell(STAT_CONNECTING)

    def stop(self, reason):
        if self.phase != "idle":
            self._tell(STAT_IDLE)
        self.phase = "idle"
        self.due_us = 0
        self.reason = reason
        self.wanted = False

    def up(self):
        if _board.watch:
            _board.watch(_board)
        self.advance()
        return self.phase == "up"

    def kick(self, reason, stuck=None, at_us=None):
        # The access point throws the board out.
        self.stuck = stuck or self.stuck
        self.wanted = self.wanted and self.stuck != "raises"  # it does not even try by itself
        at_us = _now_us() if at_us is None else at_us
        self.advance(at_us)
        if self.phase != "idle":
            self.fail(reason, at_us)

    def _tell(self, status):
        event = {"ev": "wlan", "status": status}
        if self.point:
            event["point"] = self.point
        _board.report(event)


radio = Radio()
_sta = _Station()


def reachable():
    # For the sockets: whether packets leave the board at all.
    return _sta.up()


def _address():
    if not _sta.up():
        return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")
    return _sta.static or (
        _board.address,
        "255.255.0.0",
        _GATEWAY,
        _GATEWAY,
    )


class WLAN:
    IF_STA = 0
    IF_AP = 1
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2
    SEC_OPEN = 0
    SEC_WEP = 1
    SEC_WPA = 2
    SEC_WPA2 = 3
    SEC_WPA_WPA2 = 4
    SEC_WPA3 = 6
    SEC_WPA2_WPA3 = 7
    SEC_WPA2_ENT = 5
    SEC_WAPI = 8
    SEC_OWE = 9
    PROTOCOL_DEFAULT = 7
    PROTOCOL_LR = 8
    BANDWIDTH_20 = 1
    BANDWIDTH_40 = 2

    def __new__(cls, interface=STA_IF):
        if interface not in (STA_IF, AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        if interface not in _interfaces:
            made = _interfaces[interface] = object.__new__(cls)
            made._config = _configs[interface]
            made._ap = interface == AP_IF
        return _interfaces[interface]

    def __getattr__(self, name):
        raise AttributeError("the emulator's network.WLAN has no %r (docs/esp32-port.md)" % name)

    def active(self, on=None):
        if on is not None:
            if self._ap:
                self._config["active"] = bool(on)
                if on:
                    _board.simpler("network.AP_IF")
                _stations_changed()
            else:
                if not on:
                    _sta.advance()
                    _sta.stop(0)
                    if _sta.stuck:
                        _sta.stuck = None
                        _board.report({"ev": "wlan_afresh"})
                _sta.active = bool(on)
        return self._config["active"] if self._ap else _sta.active

    def connect(self, ssid=None, key=None, *, bssid=None):
        # Of an access point's object, too, this is about the station, as are `disconnect` and `scan`.
        if bssid is not None and len(bssid) != 6:
            raise ValueError
        _sta.advance()
        if _sta.stuck == "raises":
            raise OSError("Wifi Internal State Error")
        connecting = _sta.phase in ("scan", "join")
        if ssid is not None:
            if connecting:
                raise OSError("Wifi Internal State Error")
            _sta.ssid = _text(ssid)[:32]
            _sta.key = _text(key or "")[:64]
            _sta.bssid = None if bssid is None else bytes(bssid)
        elif connecting:
            raise OSError("Wifi Internal Error")
        _sta.start()

    def disconnect(self):
        if not _sta.active:
            raise OSError("Wifi Not Started")
        _sta.advance()
        _sta.stop(_ASSOC_LEAVE)

    def isconnected(self):
        return bool(_joined()) if self._ap else _sta.up()

    def status(self, param=None):
        if param == "rssi":
            self._station()
            if not _sta.up():
                raise OSError("Wifi Not Connected")
            signal = _sta.signal()
            return signal[3] if signal else _DEAF_DBM
        if param == "stations":
            if not self._ap:
                raise OSError("AP required")
            if not self._config["active"]:
                raise OSError("Wifi Invalid Mode")
            return [(bytes.fromhex(mac), _lease(mac)) for mac in _joined()]
        if param is not None:
            raise ValueError("unknown status param")
        if self._ap:
            return None
        if _sta.up():
            return STAT_GOT_IP
        if _sta.reason in (STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD):
            return _sta.reason
        if _sta.reason == _CONNECTION_FAIL:
            return STAT_WRONG_PASSWORD
        if _sta.reason == _ASSOC_LEAVE:
            return STAT_IDLE
        if _sta.wanted and (not _sta.reconnects or _sta.failures < _sta.reconnects):
            return STAT_CONNECTING
        return _sta.reason or STAT_IDLE

    def scan(self):
        if not _sta.active:
            raise OSError("STA must be active")
        _sta.advance()
        if _sta.phase in ("scan", "join"):
            return []  # the driver refuses, and the port says nothing
        _board.kernel.sleep_us(radio.scan_ms * 1000)
        return [
            ((ssid or _sta.ssid or "testbed").encode(), bssid, channel, dbm, AUTH_WPA2_PSK, False)
            for _, ssid, channel, dbm, bssid in sorted(radio.heard(), key=lambda point: -point[3])
        ]

    def ifconfig(self, parts=None):
        if parts is None:
            return tuple(_point_address) if self._ap else _address()
        if isinstance(parts, str):
            if self._ap or parts != "dhcp":
                raise ValueError("invalid arguments")
            _sta.static = None
        else:
            address, mask, gateway, dns = parts
            self._set_address(address, mask if isinstance(mask, str) else _mask(mask), gateway, dns)
        return None

    def _set_address(self, *parts):
        if self._ap:
            _point_address[:] = parts
        else:
            _sta.static = parts

    def ipconfig(self, param=None, **settings):
        address = self.ifconfig()
        if not settings:
            if param is None:
                raise TypeError("must query one param")
            if param == "addr4":
                return address[:2]
            if param == "gw4":
                return address[2]
            if param == "dhcp4" and not self._ap:
                return _sta.static is None
            raise ValueError("unexpected key")
        if param is not None:
            raise TypeError("can't specify pos and kw args")
        if not self._ap:
            address = _sta.static or address
        ip, mask, gateway, dns = address
        for key in settings:
            value = settings[key]
            if key == "dhcp4" and not self._ap:
                if value:
                    _sta.static = None
            elif key == "addr4":
                if isinstance(value, str):
                    ip, _, bits = value.partition("/")
                    mask = _mask(int(bits)) if bits else mask
                else:
                    ip, mask = value
                self._set_address(ip, mask, gateway, dns)
            elif key == "gw4":
                gateway = value
                self._set_address(ip, mask, gateway, dns)
            else:
                raise ValueError("unexpected key")
        return None

    def config(self, param=None, **settings):
        if param is not None and settings:
            raise TypeError("either pos or kw args are allowed")
        if param is not None:
            param = _ALIASES.get(param, param)
            if param == "mac":
                return self._config["mac"] or _mac(self._ap)
            if param == "ssid" and not self._ap:
                return _sta.ssid
            if param == "reconnects":
                self._station()
                return _sta.reconnects - 1
            if param == "hostname":
                self._station()
                return hostname()
            if param == "ifname":
                return "ap1" if self._ap else "st1"
            if param in ("hidden", "security") and not self._ap:
                raise OSError("AP required")
            if param == "key" or param not in self._config:  # a key is told to nobody
                raise ValueError("unknown config param")
            if param == "channel" and not self._ap and _sta.up() and _sta.signal():
                return _sta.signal()[2]
            return self._config[param]
        if not settings:
            raise TypeError("can query only one param")
        for key in settings:
            name = _ALIASES.get(key, key)
            if name in _OF_POINTS and not self._ap:
                raise OSError("AP required")
            if name == "reconnects":
                self._station()
                _sta.reconnects = settings[key] + 1
            elif name == "hostname":
                hostname(settings[key])
            elif name in self._config:
                self._configure(name, settings[key])
            else:
                raise ValueError("unknown config param")
        if self._ap and self._config["security"] and len(self._config["key"]) < _LEAST_KEY:
            raise OSError("Wifi Invalid Password")
        if self._ap:
            _stations_changed()

    def _configure(self, name, value):
        if name == "mac":
            if len(value) != 6:
                raise ValueError("invalid buffer length")
            value = bytes(value)
        elif name == "ssid":
            value = _text(value)[:32]
        elif name == "key":
            value = _text(value)[:63]
        elif name == "txpower":
            value = int(value * 4) / 4
        elif name == "pm" and not self._ap:
            _board.report({"ev": "power_saving", "on": value != WLAN.PM_NONE})
        self._config[name] = value

    def _station(self):
        if self._ap:
            raise OSError("STA required")


_ALIASES = {"essid": "ssid", "password": "key", "authmode": "security", "dhcp_hostname": "hostname"}
_OF_POINTS = ("ssid", "key", "security", "hidden", "max_clients")
_interfaces = {}  # one object each
_LEAST_KEY = 8  # WPA's
_OF_BOTH = {
    "active": False,
    "pm": WLAN.PM_PERFORMANCE,
    "txpower": 20.0,
    "protocol": 7,
    "bandwidth": 2,
    "mac": None,
}
_OF_A_POINT = {"ssid": "ESP_EMULATED", "key": "", "security": 0, "hidden": False, "max_clients": 4}
_configs = (_OF_BOTH | {"channel": 6}, _OF_BOTH | {"channel": 1} | _OF_A_POINT)
_point_address = ["192.168.4.1", "255.255.255.0", "192.168.4.1", "0.0.0.0"]  # ESP-IDF, esp_netif_defaults.h
_leases = []  # whom its DHCP server has given an address, in that order; they keep it
_told = []  # of whom the testbed knows that they have joined
_dns = None  # set by the program


def _joined():
    # Of those that are near the board's own access point as many as it takes.
    config = _configs[AP_IF]
    return list(radio.stations)[: config["max_clients"]] if config["active"] else []


def _stations_changed():
    global _told
    joined = _joined()
    if joined != _told:
        _told = joined
        for mac in joined:
            if mac not in _leases:
                _leases.append(mac)
        _board.report({"ev": "stations", "macs": joined})


def _lease(mac):
    network, own = _point_address[0].rsplit(".", 1)
    return "%s.%d" % (network, int(own) + 1 + _leases.index(mac))


def ipconfig(param=None, **settings):
    # Of the board as a whole: whom it asks for names.
    global _dns
    if not settings:
        if param is None:
            raise TypeError("must query one param")
        if param != "dns":
            raise ValueError("unexpected key")
        return _dns or _address()[3]
    if param is not None:
        raise TypeError("can't specify pos and kw args")
    for key in settings:
        if key != "dns":
            raise ValueError("unexpected key")
        _dns = settings[key]


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    if len(name) > 32:
        raise ValueError
    _hostname = name


def country(code=None):
    global _country
    if code is None:
        return _country
    if len(code) != 2:
        raise ValueError
    _country = code


def phy_mode(mode=None):
    return None  # as the port's does


def _text(name):
    if not isinstance(name, (str, bytes)):  # a password of digits only, say
        raise TypeError("can't convert '%s' object to str implicitly" % type(name).__name__)
    return name if isinstance(name, str) else name.decode()


def _bssid(name):
    # Its name gives an access point its address.
    return b"\x02" + hashlib.sha256(name.encode()).digest()[:5]


def _mac(of_point):
    # The access point's is the station's and one.
    mac = bytearray(_board.uid)
    mac[5] = (mac[5] + of_point) & 255
    return bytes(mac)


def _mask(bits):
    ones = (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF
    return "%d.%d.%d.%d" % (ones >> 24, ones >> 16 & 255, ones >> 8 & 255, ones & 255)
