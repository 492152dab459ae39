# mypy: ignore-errors
# What is connected to the board's pins and buses: the values that a group's `stand_ins` declare.
#
# A value is always so, or has a course: [microseconds since the board was first switched on, value] pairs, of
# which the newest that has come counts. Before the first of them there is nothing.
import _board

kept = {}  # what is wired remembers, by kind


def now_us():
    return _board.on_for_us + _board.kernel.now_us()


def at(value):
    if isinstance(value, dict):
        course, value = value["course"], None
        for since_us, then in course:
            if since_us > now_us():
                break
            value = then
    return value


def find(kind, key):
    # What is declared, by the name under which the program knows it. None: nothing is connected there, which
    # the verdict shall say.
    wired = (_board.wiring or {}).get(kind, {}).get(str(key))
    if wired is None:
        _board.simpler(kind)
    return wired


def value(kind, key):
    return at(find(kind, key))


def shown(number, what, value, **more):
    # What a pin puts out, to whoever watches it. False: nobody does.
    if str(number) not in (_board.wiring or {}).get("shown", ()):
        return False
    more.update({"ev": "pin", "pin": number, "what": what, "value": value})
    _board.report(more)
    return True


def take(us):
    # Time in which the chip does nothing else; in real time a chip's microseconds are too short to be slept.
    spend = getattr(_board.kernel, "spend", None)
    if spend is not None:
        spend(us)


def connect(pin):
    # What has a course moves the pin when it is due, and so calls whoever waits for that.
    wired = _board.wiring.get("machine.Pin", {}).get(str(pin._number))
    pin.outside(at(wired))
    if isinstance(wired, dict):
        _board.kernel.timers_used = True  # so that whoever waits is called
        _board.kernel.start_new_thread(_follow, (pin, wired["course"]))


def _follow(pin, course):
    for due_us, level in course:
        left_us = due_us - now_us()
        if left_us > 0:
            _board.kernel.sleep_us(left_us)
            pin.outside(level)


if _board.wiring:  # loaded before the program, beside its heap, and so are all that ask it
    import gc

    from machine import PARTS

    for _part in PARTS:
        __import__(_part)
        gc.collect()
