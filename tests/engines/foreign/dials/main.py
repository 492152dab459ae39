# Opens a connection over and over, and says how that went. Never more than half a second is waited.
import socket
import time

import config
import network

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
while not wlan.isconnected():
    time.sleep_ms(20)
while True:
    s = socket.socket()
    s.settimeout(0.5)
    try:
        s.connect((config.MQTT_HOST, config.MQTT_PORT))
        print("answered")
    except OSError as error:
        print("silence" if wlan.isconnected() else "no wlan", error)
    s.close()
    time.sleep_ms(100)
