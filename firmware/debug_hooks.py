# What a testbed may ask of a board in the way of faults. Loaded only with DEBUG_HOOKS = True in config.py.
#
# A task {"task_info": {"command": "hang", "for_s": 5}} is not queued but obeyed:
#   hang      the program stands still (its queue's lock is held), and so does its connection
#   wifi_off  the WLAN is off, whatever the program does to bring it back
#   leave     the program calls stop() when it next looks for a task, and does no more
#   memory    prints "memory FREE USED", in bytes, after a collection
import _thread
import gc
import json
import time

import config
import network

_OFF_AGAIN_MS = 50  # sooner than any network is joined


def install(core, node):
    receive = core.receive

    def obey(topic, payload, now_ms):
        command = None
        if topic == core.task_topic:
            try:
                info = json.loads(str(payload, "utf-8"))["task_info"]
                command = _COMMANDS.get(info["command"])
            except (ValueError, KeyError, TypeError):
                pass
        if command is None:
            return receive(topic, payload, now_ms)
        if command is _leave:
            node.get_task = lambda: _leave(node)
        else:
            command(info.get("for_s", 1))
        return []

    core.receive = obey


def _hang(for_s):
    time.sleep(for_s)


def _wifi_off(for_s):
    _thread.start_new_thread(_keep_off, (time.ticks_ms(), for_s * 1000))


def _keep_off(since_ms, for_ms):
    wlan = network.WLAN(network.STA_IF)
    while time.ticks_diff(time.ticks_ms(), since_ms) < for_ms:
        wlan.active(False)
        time.sleep_ms(_OFF_AGAIN_MS)
    if not config.STATIC_IP:  # else it is the program's to set, and to join
        try:
            wlan.active(True)  # as a chip does by itself once its network has come back
            wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
        except OSError:  # the program was faster
            pass


def _leave(node):
    node.stop()
    while True:
        time.sleep(60)


def _memory(for_s):
    gc.collect()
    print("memory", gc.mem_free(), gc.mem_alloc())


_COMMANDS = {"hang": _hang, "wifi_off": _wifi_off, "leave": _leave, "memory": _memory}
