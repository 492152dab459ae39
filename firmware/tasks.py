"""The user's part: handle(task) does the work and returns a JSON value. Replace the examples by your own.

A task names one of the functions, with its arguments: {"function": "add", "args": [1, 2]}.
"""

import time


def handle(task):
    """Run one task; what it returns is the result's output, what it raises is reported as its error."""
    name = task.get("function", "echo")
    if name not in FUNCTIONS:
        raise ValueError("no function %r; there are: %s" % (name, ", ".join(sorted(FUNCTIONS))))
    if name == "echo":
        return echo(task)
    return FUNCTIONS[name](*task.get("args", ()))


def echo(task):
    """The task itself."""
    return task


def add(*numbers):
    """Their sum."""
    return sum(numbers)


def sleep(seconds):
    """Nothing, slowly."""
    time.sleep(seconds)
    return seconds


def primes(limit):
    """How many primes there are below `limit`."""
    sieve = bytearray(limit)
    count = 0
    for number in range(2, limit):
        if not sieve[number]:
            count += 1
            for multiple in range(number * number, limit, number):
                sieve[multiple] = 1
    return count


FUNCTIONS = {"echo": echo, "add": add, "sleep": sleep, "primes": primes}
