# mypy: ignore-errors
# `webrepl` as the boot.py of many boards starts it: its server takes a socket, says where it is, and nobody
# comes. Its password is that of `webrepl_cfg`, or given.
import _board
import network
import socket

listen_s = None


def setup_conn(port, accept_handler):
    global listen_s
    listen_s = socket.socket()
    listen_s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listen_s.bind(("0.0.0.0", port))
    listen_s.listen(1)
    for number in (network.AP_IF, network.STA_IF):
        wlan = network.WLAN(number)
        if wlan.active():
            print("WebREPL server started on http://%s:%d/" % (wlan.ifconfig()[0], port))
    return listen_s


def stop():
    global listen_s
    if listen_s is not None:
        listen_s.close()
        listen_s = None


def start(port=8266, password=None, accept_handler=True):
    _board.simpler("webrepl")
    stop()
    known = password
    if known is None:
        try:
            import webrepl_cfg

            known = webrepl_cfg.PASS
        except Exception:
            print("WebREPL is not configured, run 'import webrepl_setup'")
    if known is None:
        raise TypeError("can't convert 'NoneType' object to str implicitly")
    if len(known) > 9:
        raise ValueError
    setup_conn(port, accept_handler)
    if accept_handler is None:
        print("Starting webrepl in foreground mode")
        _board.kernel.idle_forever()
    print("Started webrepl in %s mode" % ("normal" if password is None else "manual override"))


def start_foreground(port=8266, password=None):
    start(port, password, None)
