# Copy to config.py and fill in.

WIFI_SSID = "my network"
WIFI_PASSWORD = "my password"  # "" for an open network

# A fixed address, or None for DHCP.
STATIC_IP = None
NETMASK = "255.255.255.0"
GATEWAY = "192.168.1.1"
DNS_SERVER = "192.168.1.1"

MQTT_HOST = "192.168.1.10"
MQTT_PORT = 1883
MQTT_USER = None
MQTT_PASSWORD = None
MQTT_TLS = False

NODE_TYPE = "ESP32"

# May be left out.
NODE_ID = None  # None: the chip's unique id
NAMESPACE = ""  # topic prefix common to master and nodes
MQTT_KEEPALIVE = 60  # seconds; main.py's
POLL_MS = 100  # how long main.py sleeps between looks for a task
MQTT_CA_FILE = None  # the authority's certificate (DER), which MQTT_TLS needs
NTP_HOST = None  # whom MQTT_CA_FILE asks for the time, by which a certificate holds or not; pool.ntp.org
MQTT_TLS_INSECURE = False  # True: MQTT_TLS without it; whoever answers is believed to be the broker
WIFI_FULL_POWER = False  # True: no power saving, answers come sooner
LED_PIN = None  # lit while connected
WATCHDOG_S = 0  # the chip restarts itself after so many seconds without a sign of life; 0: never
QUEUE_LIMIT = 32  # tasks that may wait
DEBUG_HOOKS = False  # True: obey a testbed that asks for faults (debug_hooks.py)
HOLD_LIMIT = 32  # results that may wait for a connection
