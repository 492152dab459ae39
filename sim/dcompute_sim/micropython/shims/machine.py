# mypy: ignore-errors
# ESP32 `machine`: identity, resets, watchdog, pins without a world behind them, timers, RTC.
import _board

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
TIMER_WAKE = 4

__getattr__ = _board.missing("machine")
_kernel = _board.kernel
_freq = 160000000


def unique_id():
    return _board.uid


def reset():
    _kernel.end("reset", HARD_RESET)


def soft_reset():
    _kernel.end("reset", SOFT_RESET)


def bootloader(timeout_ms=0):
    _board.report({"ev": "bootloader"})
    raise NotImplementedError("an emulated board has no ROM bootloader; on a board, esptool takes over here")


def reset_cause():
    return _board.reset_cause


def freq(hz=None):
    global _freq
    if hz is None:
        return _freq
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _freq = hz


def idle():
    _kernel.sleep_us(1000)


def lightsleep(ms=None):
    if ms is None:
        raise AttributeError("the emulator's machine.lightsleep needs a time: nothing else would wake it")
    _kernel.sleep_us(ms * 1000)


def deepsleep(ms=None):
    # Everything is off but the RTC: threads, sockets, Wi-Fi, the watchdog. Without a time nothing wakes it.
    _kernel.end("reset", DEEPSLEEP_RESET, ms or -1)


def wake_reason():
    return TIMER_WAKE if _board.reset_cause == DEEPSLEEP_RESET else 0


def disable_irq():
    return 0


def enable_irq(state):
    pass


class WDT:
    # Cannot be stopped once started, as on the chip.
    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        self._timeout_ms = timeout
        _board.report({"ev": "watchdog", "ms": timeout})
        self.feed()

    def feed(self):
        _kernel.watchdog(self._timeout_ms)


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    PULL_DOWN = 1

    def __init__(self, id, mode=-1, pull=-1, *, value=None):
        self._id = id
        self._value = 0
        self.init(mode, pull, value=value)

    def __getattr__(self, name):
        raise AttributeError(
            "the emulator's machine.Pin has no %r (sim/dcompute_sim/micropython/shims/machine.py)" % name
        )

    def init(self, mode=-1, pull=-1, *, value=None):
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            return self._value
        self._value = 1 if level else 0

    __call__ = value

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0

    def toggle(self):
        self._value ^= 1


_TIMERS = 4
_timers = {}  # id -> Timer: the same id is the same timer


class Timer:
    # Its callbacks run in the main thread, as whatever the port's scheduler is given: here when that thread
    # sleeps or waits for sockets (a board takes them at any branch, too). What a callback raises is printed,
    # and the timer goes on.
    ONE_SHOT = 0
    PERIODIC = 1

    def __new__(cls, id=-1, **settings):
        if id == -1:
            return object.__new__(cls)
        if not 0 <= id < _TIMERS:
            raise ValueError("invalid Timer number")
        if id not in _timers:
            _timers[id] = object.__new__(cls)
        return _timers[id]

    def __init__(self, id=-1, **settings):
        if not hasattr(self, "_run"):
            self._run = 0
            self._since_us = self._period_us = 0
        if settings:
            self.init(**settings)

    def init(self, *, mode=PERIODIC, freq=-1, period=-1, tick_hz=1000, callback=None, hard=False):
        if hard:
            raise ValueError("hard Timers are not implemented")
        self._run += 1
        self._period_us = int(1000000 / freq) if freq > 0 else period * 1000000 // tick_hz
        _kernel.timers_used = True
        _kernel.start_new_thread(self._loop, (self._run, mode, self._period_us, callback))

    def deinit(self):
        self._run += 1

    def value(self):
        # Milliseconds since the period began.
        return (_kernel.now_us() - self._since_us) // 1000

    def _loop(self, run, mode, period_us, callback):
        self._since_us = due_us = _kernel.now_us()
        while True:
            due_us += period_us
            _kernel.sleep_us(due_us - _kernel.now_us())
            if self._run != run:
                return
            self._since_us = due_us
            if callback is not None:
                _kernel.call_in_main(self._fire, (run, callback))
            if mode == Timer.ONE_SHOT:
                return

    def _fire(self, run, callback):
        if self._run == run:
            callback(self)


class RTC:
    def datetime(self, parts=None):
        import time

        if parts is None:
            y, mo, d, h, mi, s, wd, _ = time.gmtime()
            return (y, mo, d, wd, h, mi, s, 0)
        y, mo, d, _, h, mi, s, us = parts
        _board.clock_start_us = time.mktime((y, mo, d, h, mi, s, 0, 0)) * 1000000 + us - _kernel.now_us()

    def init(self, parts):
        self.datetime(parts)
