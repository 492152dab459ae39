# mypy: ignore-errors
# What the port makes of addresses: ports/esp32/modsocket.c, lwIP's getaddrinfo, shared/netutils.
import _board

_EAI_SERVICE = -201
_LAST_PORT = 65535


def of(address):
    # Host and port of a tuple of two.
    if not isinstance(address, (tuple, list)):
        raise TypeError("object '%s' isn't a tuple or list" % type(address).__name__)
    if len(address) != 2:
        raise ValueError("requested length 2 but object has length %d" % len(address))
    return at(*address)


def at(host, number):
    # What the program means by them: under some it has the run's broker, as a group's `broker_at` says.
    host, number = name(host), port(number)
    known = _board.broker_at
    if known and host in known[2]:
        return known[0], known[1]
    return host, number


def name(host):
    if not isinstance(host, (str, bytes)):
        raise TypeError("can't convert '%s' object to str implicitly" % type(host).__name__)
    return host if isinstance(host, str) else host.decode()


def port(number):
    if not isinstance(number, int):
        text = name(number)
        number = int(text) if text.isdigit() else -1
    if not 0 <= number <= _LAST_PORT:
        raise OSError(_EAI_SERVICE)
    return number


def is_number(host):
    return host.replace(".", "").isdigit()


def of_numbers(address):
    # As `of`, where no name is looked up.
    host, number = of(address)
    if host and not is_number(host):
        raise ValueError("invalid arguments")
    return host or "0.0.0.0", number
