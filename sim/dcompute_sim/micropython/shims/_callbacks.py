# mypy: ignore-errors
# What is to be called in the main thread: by timers, and by `micropython.schedule` in virtual time.
#
# On a board the port's scheduler does this at the main thread's next branch; here it is done when that sleeps
# or waits for sockets, and at a branch where they are counted. As many wait as the port's scheduler keeps; of
# more the rest is lost, as there. One that sleeps lets no other in: the scheduler is locked meanwhile.
due = []  # (function, arguments)
_calling = False
_MOST_DUE = 8
rouse = None  # both by the kernel: ends a sleep of the main thread
print_exception = None


def call_in_main(function, args):
    # False: there are too many.
    if len(due) >= _MOST_DUE:
        return False
    due.append((function, args))
    rouse()
    return True


def call_due():
    # In the main thread.
    global _calling
    if _calling:
        return
    _calling = True
    try:
        while due:
            function, args = due.pop(0)
            try:
                function(*args)
            except Exception as error:
                print_exception(error)
    finally:
        _calling = False
