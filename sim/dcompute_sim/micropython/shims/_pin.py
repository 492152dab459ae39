# mypy: ignore-errors
# `machine.Pin` of an ESP32 without PSRAM: numbers, pulls, levels, interrupts.
#
# What is outside a pin is what the testbed puts there (`outside`); nothing connected, a pull decides.
import _board

_NUMBERS = tuple(range(24)) + (25, 26, 27) + tuple(range(32, 40))
_FIRST_INPUT_ONLY = 34
_RTC_NUMBERS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39)  # these wake a chip
_pins = {}


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    PULL_DOWN = 1
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    class board:  # names of a board's pins: an ESP32_GENERIC has none
        pass

    def __new__(cls, id, mode=None, pull=-1, **settings):
        if isinstance(id, Pin):
            return id
        if not isinstance(id, int) or id not in _NUMBERS:
            raise ValueError("invalid pin")
        if id not in _pins:
            made = _pins[id] = object.__new__(cls)
            made._number = id
            made._mode = made._pull = made._latch = 0
            made._outside = None
            made._irq = _Irq(made)
            if _board.wiring:
                import _wiring

                _wiring.connect(made)
        return _pins[id]

    def __init__(self, id, mode=None, pull=-1, **settings):
        if mode is not None or pull != -1 or settings:
            self.init(mode, pull, **settings)

    def __repr__(self):
        return "Pin(%d)" % self._number

    def __getattr__(self, name):
        raise AttributeError("the emulator's machine.Pin has no %r (docs/esp32-port.md)" % name)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        was = self._level()
        if value is not None:
            self._latch = 1 if value else 0
        if mode is not None:
            if self._number >= _FIRST_INPUT_ONLY and mode & 2:
                raise ValueError("pin can only be input")
            self._mode = mode
        if pull != -1:
            self._pull = pull or 0
        self._changed(was)

    def value(self, level=None):
        if level is None:
            return self._level()
        was = self._level()
        self._latch = 1 if level else 0
        self._changed(was)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self._latch)

    def irq(self, *given, **named):
        # Without an argument it tells only; with any, no handler is none.
        if given or named:
            self._set_irq(*given, **named)
        return self._irq

    def _set_irq(self, handler=None, trigger=3, wake=None):
        if trigger | 0 in (self.WAKE_LOW, self.WAKE_HIGH) and wake is not None:
            if not isinstance(wake, int) or not 2 <= wake <= 7:
                raise ValueError("bad wake value")
            if self._number not in _RTC_NUMBERS:
                raise ValueError("invalid pin for wake")
            _board.simpler("esp32.wake_on")
            return
        self._irq.handler = handler
        self._irq.when = 0 if handler is None else trigger

    def outside(self, level):
        # What the world does to it; None: nothing is connected.
        was = self._level()
        self._outside = level
        self._changed(was)

    def _level(self):
        if self._mode & 2 and not (self._mode == self.OPEN_DRAIN and self._latch):
            return self._latch
        if not self._mode:
            return 0
        if self._outside is not None:
            return self._outside
        return 1 if self._pull & self.PULL_UP else 0

    def _changed(self, was):
        level = self._level()
        if level != was and _board.wiring and self._mode & 2:
            import _wiring

            _wiring.shown(self._number, "level", level)
        irq = self._irq
        if level != was and irq.handler is not None:
            if irq.when & (self.IRQ_RISING if level else self.IRQ_FALLING):
                _board.kernel.timers_used = True  # from now on its callbacks are looked for
                _board.kernel.call_in_main(irq.handler, (self,))


class _Irq:
    def __init__(self, pin):
        self._pin = pin
        self.handler = None
        self.when = 0

    def __call__(self):
        self.handler(self._pin)

    def trigger(self, when=None):
        was = self.when
        if when is not None:
            self.when = when
        return was
