# mypy: ignore-errors
# ESP32 `machine`: identity, resets, watchdog, timers, RTC; pins are in _pin.py, all else in PARTS.
import _board
from _pin import Pin

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
SLEEP = 2
DEEPSLEEP = 4
PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6

# The parts of the chip that pins and buses lead to (frozen/): loaded when they are asked for; or before the
# program, and beside its heap, where a group's `stand_ins` say what is connected.
PARTS = {
    "_analogue": ("ADC", "DAC", "TouchPad"),
    "_pulses": ("PWM", "time_pulse_us", "bitstream"),
    "_buses": ("I2C", "SoftI2C", "SPI", "SoftSPI"),
    "_uart": ("UART",),
    "_signal": ("Signal",),
}
_missing = _board.missing("machine")


def __getattr__(name):
    for part, names in PARTS.items():
        if name in names:
            return getattr(__import__(part), name)
    return _missing(name)


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
    hz = (hz | 0) // 1000000 * 1000000  # here and below: what is no whole number is a TypeError, as there
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    if hz != _freq:
        _board.simpler("machine.freq")
    _freq = hz


def idle():
    _kernel.sleep_us(1000)


def lightsleep(ms=None):
    if ms is None:
        raise AttributeError("the emulator's machine.lightsleep needs a time: nothing else would wake it")
    _board.simpler("machine.lightsleep")
    _kernel.sleep_us((ms | 0) * 1000)


sleep = lightsleep


def deepsleep(ms=None):
    # Everything is off but the RTC: threads, sockets, Wi-Fi, the watchdog. Without a time nothing wakes it.
    _kernel.end("reset", DEEPSLEEP_RESET, -1 if ms is None else ms | 0)


def wake_reason():
    return TIMER_WAKE if _board.reset_cause == DEEPSLEEP_RESET else 0


def wake_pins():
    return ()  # nothing moves a pin of a chip that sleeps


def disable_irq():
    _board.simpler("machine.disable_irq")
    return 0


def enable_irq(state):
    pass


class WDT:
    # Cannot be stopped once started, as on the chip.
    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout | 0 <= 0:
            raise ValueError("WDT timeout too short")
        self._timeout_ms = timeout
        _board.report({"ev": "watchdog", "ms": timeout})
        self.feed()

    def feed(self):
        _kernel.watchdog(self._timeout_ms)


_TIMERS = 4
_timers = {}  # id -> Timer: the same id is the same timer


class Timer:
    # Its callbacks run in the main thread, as whatever the port's scheduler is given: here when that thread
    # sleeps or waits for sockets (a board takes them at any branch, too). What a callback raises is printed,
    # and the timer goes on.
    ONE_SHOT = 0
    PERIODIC = 1

    def __new__(cls, id=-1, **settings):
        if id < 0:
            return object.__new__(cls)
        if id >= _TIMERS:
            raise ValueError("Timer(%d) doesn't exist, there are only %d hardware timers" % (id, _TIMERS))
        if id not in _timers:
            _timers[id] = object.__new__(cls)
        return _timers[id]

    def __init__(self, id=-1, **settings):
        if not hasattr(self, "_run"):
            self._run = 0
            self._since_us = self._period_us = 0
        if settings:
            self.init(**settings)

    def init(self, *, mode=PERIODIC, freq=None, period=-1, tick_hz=1000, callback=None, hard=False):
        if hard:
            raise ValueError("hard Timers are not implemented")
        ticks = (period | 0) & 0xFFFFFFFF  # of milliseconds 49 days, where it is not said
        period_us = ticks * 1000000 // tick_hz if freq is None else int(1000000 / freq)
        if not period_us:
            raise ValueError("Timer period is too short for this timer")
        self._run += 1
        self._period_us = period_us
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


_RTC_BYTES = 2048


class RTC:
    _only = None

    def __new__(cls):
        if RTC._only is None:
            RTC._only = object.__new__(cls)
        return RTC._only

    def datetime(self, parts=None):
        if parts is not None:
            y, mo, d, _, h, mi, s, us = parts
            self._set(y, mo, d, h, mi, s, us | 0)
            return None
        import time

        us = _board.clock_start_us + _kernel.now_us()
        y, mo, d, h, mi, s, wd, _ = time.gmtime(us // 1000000)
        return (y, mo, d, wd, h, mi, s, us % 1000000)

    def init(self, parts):
        # The port counts hours from the fourth number here, and from the fifth in `datetime`.
        y, mo, d, h, mi, s, _, us = parts
        self._set(y, mo, d, h, mi, s, us | 0)

    def _set(self, y, mo, d, h, mi, s, us):
        import time

        _board.set_clock(time.mktime((y, mo, d, h, mi, s, 0, 0)) * 1000000 + us)

    def memory(self, data=None):
        if data is None:
            return bytes.fromhex(_board.kept.get("rtc", ""))
        data = data.encode() if isinstance(data, str) else bytes(data)
        if len(data) > _RTC_BYTES:
            raise ValueError("buffer too long")
        _board.keep("rtc", data.hex())
