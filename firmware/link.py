# The way to the broker, kept open for ever: Wi-Fi and MQTT session.
#
# Any thread may turn the wheel: `service` does one short round of reading, sending and pinging, or one
# bounded try to connect, under a lock that no other thread waits for. So no two threads ever share the
# socket, and it does not matter which of them is alive.
#
# Comments, not docstrings, in the files beneath ComputeNode: compiling a docstring takes heap.

import _thread
import errno
import gc
import time

from outbox import Outbox
from reconnect import Reconnect

gc.collect()


class Link:
    # Carries the messages of a NodeCore. `state` guards core and outbox; it is held for moments only.

    def __init__(self, core, client, settings):
        self.core = core
        self.state = _thread.allocate_lock()
        self.outbox = Outbox(settings.hold_limit)
        self.online = False
        self.stopped = False
        self._round = _thread.allocate_lock()
        self._watchdog = settings.watchdog
        self._led = settings.led
        self._since_ms = 0
        self._reconnect = Reconnect(settings, self._open_session, self.idle, self.say)
        self._client = client
        client.set_callback(self._on_message)
        client.on_puback = self._on_puback
        client.idle = self.idle
        gc.collect()
        core.payload_limit = core.capabilities["largest"] = max(1024, min(16384, gc.mem_free() // 4))
        client.reader.most_bytes = core.payload_limit + 128  # and the topic

    # --- for the node ---------------------------------------------------------------------------------------

    def flush(self, messages, timeout_ms):
        # Turn until the broker has all of `messages`, a list of the outbox; False if that fails.
        deadline = time.ticks_add(time.ticks_ms(), timeout_ms)
        pause_ms = 0
        while self.online:
            self.service()
            if not messages:
                return self.online
            if time.ticks_diff(deadline, time.ticks_ms()) <= 0:
                break
            time.sleep_ms(pause_ms)
            pause_ms = min(16, pause_ms * 2 or 1)
        return False

    def open(self):
        # Try to connect now, however long ago the last try was; waits for another thread's try to end.
        self.stopped = False
        with self._round:
            if not self.online:
                self._connect()

    def close(self, in_order=True):
        # For good: with DISCONNECT, or so that the will tells.
        self.stopped = True
        with self._round:
            (self._client.disconnect if in_order else self._client.abort)()
            self._set_online(False)

    def reset(self):
        # End the session without DISCONNECT, so that the will tells if no other follows.
        with self._round:
            if self.online:
                self._drop("reset")

    def service(self):
        # One round, and True; unless another thread is at it, which may take as long as a send.
        if not self._round.acquire(False):
            return False
        try:
            if self._watchdog:
                self._watchdog.feed()
            if not self.online and not self.stopped and self._reconnect.is_due():
                self._connect()
            if self.online:  # a new session is greeted in the same round, not after the next wait
                self._turn()
        finally:
            self._round.release()
        return True

    def wait(self, ms):
        # Sleep until there may be something to do, at most `ms`.
        if self.online:
            self._client.wait(min(ms, self._client.quiet_ms() + 1))
        else:
            self.idle(min(ms, self._reconnect.pause_ms()))

    def idle(self, ms):
        # Sleep, with the watchdog fed.
        if self._watchdog:
            self._watchdog.feed()
        time.sleep_ms(ms)

    def say(self, text):
        # Log.
        print("[%d] %s" % (time.ticks_ms() // 1000, text))

    # --- one round ------------------------------------------------------------------------------------------

    def _turn(self):
        try:
            self._client.check_msg()
            self._client.keep_alive()
            self._send_next()
            if not self.core.heard:
                self._reconnect.unheard()
        except BaseException as error:  # whatever it was, half a packet may be on the wire
            self._drop(error)
            if not isinstance(error, Exception):
                raise

    def _send_next(self):
        with self.state:
            message = self.outbox.start_next()
        if message:
            self._since_ms = time.ticks_ms()
            self.outbox.packet_id = self._client.publish(message[0], message[1], message[2], 1)
        elif self.outbox.sending and self._waited_ms() > 2 * self._client.answer_ms:
            raise OSError(errno.ETIMEDOUT)

    def _waited_ms(self):
        return time.ticks_diff(time.ticks_ms(), self._since_ms)

    def _on_puback(self, packet_id):
        with self.state:
            self.outbox.acknowledged(packet_id)
        self._send_next()

    def _on_message(self, topic, payload, size):
        core = self.core
        try:
            with self.state:
                rejected = core.rejected
                if payload is None:
                    core.rejected += 1
                else:
                    for answer in core.receive(str(topic, "utf-8"), payload, time.ticks_ms()):
                        (self.outbox.add_status if answer[2] else self.outbox.add_result)(answer)
                rejected = core.rejected - rejected
        except (MemoryError, UnicodeError) as error:
            gc.collect()
            rejected = repr(error)
        if rejected:
            self.say("a message of %d bytes was not taken (%s)" % (size, rejected))

    def _connect(self):
        if not self._reconnect.attempt():
            self.outbox.unreachable()
            self._client.abort()
            gc.collect()

    def _open_session(self):
        core = self.core
        client = self._client
        with self.state:
            topic, payload, retain = core.will()
        client.set_last_will(topic, payload, retain, 1)
        client.connect()
        client.lw_msg = None  # the broker has it
        client.subscribe(core.task_topic, 1)
        client.subscribe(core.status_topic, 1)
        with self.state:
            self.outbox.restart(core.greeting())
        if self.outbox.closes > 1:
            from refused import set_aside

            set_aside(self)
        self._set_online(True)
        self.say("connected to %s:%d as %s, %s" % (client.server, client.port, core.node_id, core.inc))

    def _drop(self, error):
        self._client.abort()
        self._set_online(False)  # first: whatever comes after it may find no room in the heap
        with self.state:
            self.core.lost()
            if getattr(error, "errno", 0) == errno.ECONNRESET:
                self.outbox.closed()
            self.outbox.restart(())
        self._reconnect.lost()
        self.say("connection lost: %r" % error)

    def _set_online(self, online):
        self.online = online
        if self._led:
            self._led.value(online)
