# Reads and checks config.py. Loaded once at the start and then forgotten, to spare the heap.

_WIFI = ("WIFI_SSID", "WIFI_PASSWORD")
_MQTT = ("MQTT_HOST", "MQTT_PORT", "MQTT_USER", "MQTT_PASSWORD", "MQTT_TLS", "NODE_TYPE")
_STATIC = ("STATIC_IP", "NETMASK", "GATEWAY", "DNS_SERVER")


class Settings:
    # What config.py says, checked.
    pass


def load(config):
    # Settings from the module `config`; ValueError naming what is missing, or the key that is wrong.
    missing = [key for key in _WIFI + _MQTT if not hasattr(config, key)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ValueError("config.py: %s %s missing (see config_example.py)" % (", ".join(missing), verb))
    settings = Settings()
    settings.wifi_ssid = _text(config, "WIFI_SSID", 1, 32)
    settings.wifi_password = _text(config, "WIFI_PASSWORD", 0, 64)
    if 0 < len(settings.wifi_password) < 8:
        raise ValueError('config.py: WIFI_PASSWORD must have 8 to 64 characters ("" for an open network)')
    settings.static = _static(config)
    settings.mqtt_host = _text(config, "MQTT_HOST", 1, 253)
    settings.mqtt_port = _number(config, "MQTT_PORT", 1, 65535, None)
    settings.mqtt_user = _optional_text(config, "MQTT_USER")
    settings.mqtt_password = _optional_text(config, "MQTT_PASSWORD")
    if settings.mqtt_password is not None and settings.mqtt_user is None:
        raise ValueError("config.py: MQTT_USER must be set when MQTT_PASSWORD is")
    settings.tls = _tls(config)
    settings.node_type = _text(config, "NODE_TYPE", 1, 64)
    settings.node_id = _optional_text(config, "NODE_ID")
    settings.namespace = _optional_text(config, "NAMESPACE") or ""
    settings.debug_hooks = _flag(config, "DEBUG_HOOKS")
    settings.wifi_full_power = _flag(config, "WIFI_FULL_POWER")
    settings.keepalive_s = _number(config, "MQTT_KEEPALIVE", 1, 65535, 60)
    settings.poll_s = _number(config, "POLL_MS", 1, 60000, 100) / 1000
    settings.led_pin = _number(config, "LED_PIN", 0, 48, -1)
    settings.watchdog_s = _number(config, "WATCHDOG_S", 0, 600, 0)
    if 0 < settings.watchdog_s < 30:
        raise ValueError("config.py: WATCHDOG_S must be 0 (off) or at least 30: connecting takes time")
    settings.queue_limit = _number(config, "QUEUE_LIMIT", 1, 1000, 32)
    settings.hold_limit = _number(config, "HOLD_LIMIT", 1, 1000, 32)
    return settings


def _wrong(key, wanted, value):
    # Secrets are not repeated: the log may be shown to others.
    shown = "" if "PASSWORD" in key or "KEY" in key else ", not %r" % (value,)
    return ValueError("config.py: %s must be %s%s" % (key, wanted, shown))


def _text(config, key, least, most):
    value = getattr(config, key)
    if not isinstance(value, str) or not least <= len(value.encode()) <= most:
        raise _wrong(key, "text of %d to %d bytes" % (least, most), value)
    return value


def _optional_text(config, key):
    value = getattr(config, key, None)
    if value is not None and not isinstance(value, str):
        raise _wrong(key, "text or None", value)
    return value or None


def _number(config, key, least, most, default):
    value = getattr(config, key, default)
    if value is None:
        value = default
    if value is default and default is not None:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(key, "a whole number from %d to %d" % (least, most), value)
    return value


def _flag(config, key):
    value = getattr(config, key, False)
    if not isinstance(value, bool):
        raise _wrong(key, "True or False", value)
    return value


def _static(config):
    if not getattr(config, "STATIC_IP", None):
        return None
    for key in _STATIC:
        value = getattr(config, key, None)
        if value is None:
            raise ValueError("config.py: %s is missing, and STATIC_IP needs it" % key)
        if not _is_address(value):
            raise _wrong(key, "an address like 192.168.1.50", value)
    return tuple([getattr(config, key) for key in _STATIC])


def _is_address(value):
    parts = value.split(".") if isinstance(value, str) else ()
    return len(parts) == 4 and all(p.isdigit() and len(p) <= 3 and int(p) <= 255 for p in parts)


def _tls(config):
    if not _flag(config, "MQTT_TLS"):
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority = _optional_text(config, "MQTT_CA_FILE")
    if not authority:
        if not _flag(config, "MQTT_TLS_INSECURE"):
            raise ValueError("config.py: MQTT_TLS needs MQTT_CA_FILE, or MQTT_TLS_INSECURE = True")
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        with open(authority, "rb") as file:
            trusted = file.read()
        try:
            context.load_verify_locations(cadata=trusted)
        except TypeError:  # where ssl is all C it takes no keywords, where it is not it wants one
            context.load_verify_locations(trusted)
    except (OSError, ValueError) as error:
        raise ValueError("config.py: MQTT_CA_FILE %r is no usable DER certificate: %s" % (authority, error))
    context.verify_mode = ssl.CERT_REQUIRED
    time_server = _optional_text(config, "NTP_HOST")
    if time_server:
        import ntptime

        ntptime.host = time_server
    return context
