"""ComputeNode: a compute node on an ESP32. Takes prioritised tasks over MQTT, sends results back."""

import gc
import sys


def _load_settings():
    # What reads config.py is dropped again. A function: a module's frame goes on holding what it has touched.
    import config
    import settings

    given = settings.load(config)
    del sys.modules["settings"], sys.modules["config"]
    return given


# A board compiles these from source, in a small heap: the largest first, each after a collection.
_loaded = [_load_settings()]  # until a node has them
gc.collect()
from dcompute.node_core import OFFLINE, READY

gc.collect()
from mqtt_client import MqttClient

gc.collect()
from link import Link

gc.collect()
import _thread
import time

from micropython import const

_SLICE_MS = const(200)
_BUSY_MS = const(20)
_LONGEST_WAIT_MS = const(1000)  # the socket under a wait may be replaced by another thread
_FLUSH_MS = const(60000)  # only a bound: a link that does not answer is dropped long before
_THREAD_STACK_BYTES = const(12 * 1024)  # the port's default is too small for a TLS handshake
_EPOCH_2000_S = const(946684800)


def _prepared(*arguments):
    given = _loaded[0] if _loaded else _load_settings()
    import node_setup

    node_setup.prepare(given, *arguments)
    return given


class ComputeNode:
    """A compute node.

    Args:
        broker_host, broker_port: where the broker is.
        broker_keepalive: seconds; the broker declares a silent node dead after 1.5 times this.

    What is None, and all else, is read from config.py; attributes of these names tell what it is. ValueError
    names the key that is missing or wrong there, at the latest when this module is imported. `poll_s` is how
    long to sleep between looks for a task.
    """

    def __init__(self, broker_host=None, broker_port=None, broker_keepalive=None):
        given = _prepared(broker_host, broker_port, broker_keepalive)
        core = self._core = given.core
        self.node_id = core.node_id
        self.task_topic = core.task_topic
        self.status_topic = core.status_topic
        self.broker_host = given.mqtt_host
        self.broker_port = given.mqtt_port
        self.broker_keepalive = given.keepalive_s
        self.poll_s = given.poll_s
        client = MqttClient(
            self.node_id,
            self.broker_host,
            self.broker_port,
            given.mqtt_user,
            given.mqtt_password,
            self.broker_keepalive,
            given.tls,
        )
        self._link = Link(core, client, given)
        launcher = sys.modules.get("launcher")  # only where the program is kept in slots
        if launcher:
            import slot

            slot.attach(launcher, self._link, client)
        at_work = sys.modules.get("at_work")  # only where tasks want it
        if at_work:
            at_work.attach(self._link)
        if given.debug_hooks:
            import debug_hooks

            debug_hooks.install(core, self)
        self._thread_wanted = False
        self._loop_runs = False
        _loaded.clear()

    # --- connection -----------------------------------------------------------------------------------------

    def connect(self, timeout_s=60):
        """Join the Wi-Fi and the broker. False when `timeout_s` is over; it then goes on by itself."""
        link = self._link
        if self._core.status == OFFLINE:  # it had left
            self._core.status = READY
        deadline = time.ticks_add(time.ticks_ms(), timeout_s * 1000)
        while True:
            link.open()
            if link.flush(link.outbox.control, _FLUSH_MS):
                return True
            left_ms = time.ticks_diff(deadline, time.ticks_ms())
            if left_ms <= 0:
                return False
            link.wait(min(left_ms, _LONGEST_WAIT_MS))

    def is_connected(self):
        """Whether the broker answers. What the Wi-Fi interface believes does not count."""
        return self._link.online

    def handle_disconnect(self):
        """End the connection and reset the client. The node comes back by itself, or by connect().

        Without DISCONNECT: should it not come back, the last will tells.
        """
        self._link.reset()

    def check_messages(self):
        """Take in what has arrived and keep the connection. Not needed while the keepalive thread runs."""
        self._tend()
        self._link.service()

    def stop(self, timeout_s=5):
        """Leave in good order: held results, status `offline`, DISCONNECT, so that no will is published.

        What takes longer than `timeout_s` is given up. If that is `offline`, the will tells.
        """
        link = self._link
        self._thread_wanted = False
        link.flush(link.outbox.results, timeout_s * 1000)
        link.close(self.publish_status(OFFLINE, timeout_s))

    # --- keepalive ------------------------------------------------------------------------------------------

    def start_keepalive_thread(self):
        """Run mqtt_keepalive_loop in a thread, and again should it ever end. True when one runs."""
        self._thread_wanted = True
        if not self._claim_loop():
            return True
        try:
            before = _thread.stack_size(_THREAD_STACK_BYTES)
            try:
                _thread.start_new_thread(self._loop, ())
            finally:
                _thread.stack_size(before)
        except (OSError, RuntimeError, MemoryError) as error:
            self._loop_runs = False
            self._link.say("no keepalive thread: %r" % error)
        return self._loop_runs

    def mqtt_keepalive_loop(self):
        """Keep the connection until stop(): read, ping, reconnect. Returns at once if it runs already."""
        self._thread_wanted = True
        if self._claim_loop():
            self._loop()

    def _claim_loop(self):
        with self._link.state:
            claimed = not self._loop_runs
            self._loop_runs = True
        return claimed

    def _loop(self):
        link = self._link
        try:
            while self._thread_wanted:
                try:
                    link.wait(_LONGEST_WAIT_MS if link.online else _SLICE_MS)
                    if not link.service():  # and what has arrived keeps `wait` from waiting
                        time.sleep_ms(_BUSY_MS)
                except Exception as error:  # MemoryError too: nothing may end the heartbeat
                    gc.collect()
                    try:
                        link.say("keepalive: %r" % error)
                    except MemoryError:
                        pass
                    time.sleep_ms(_SLICE_MS)
        finally:
            self._loop_runs = False

    def _tend(self):
        # In every call of the program: the node must not depend on the thread, whatever ended it.
        if not self._thread_wanted or not (self._loop_runs or self.start_keepalive_thread()):
            self._link.service()

    # --- statuses, results, tasks ---------------------------------------------------------------------------

    def publish_status(self, status, timeout_s=60):
        """Publish `status` (retained), now or at the next connection. True once the broker has it."""
        link = self._link
        with link.state:
            message = self._core.set_status(status)
            if link.online:
                link.outbox.add_status(message)
        self._tend()
        return link.flush(link.outbox.control, timeout_s * 1000)

    def send_result(self, result_data):
        """Send a result, with a timestamp. False if it is held, to be sent in order once the link is back.

        ValueError if it is not JSON.
        """
        link = self._link
        with link.state:
            message = self._core.result_message(result_data, None, _unix_time_s())
            if message:  # somebody waits for it
                link.outbox.add_result(message)
        self._tend()
        return link.flush(link.outbox.results, _FLUSH_MS)

    def get_task(self):
        """The waiting task of highest priority, or None."""
        self._tend()
        core = self._core
        with self._link.state:
            if core.ring:
                self._link.outbox.results.extend(core.ring.expire(time.ticks_ms()))
            return core.take()

    def tasks_waiting(self):
        """How many tasks wait in the queue."""
        return self._core.waiting()

    def results_held(self):
        """How many results the broker has not acknowledged yet."""
        return len(self._link.outbox.results)

    def results_dropped(self):
        """How many results were dropped because too many waited."""
        return self._link.outbox.dropped


def _unix_time_s():
    # An ESP32 counts from 2000.
    return time.time() + (_EPOCH_2000_S if time.gmtime(0)[0] == 2000 else 0)
