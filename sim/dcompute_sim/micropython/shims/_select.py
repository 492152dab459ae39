# mypy: ignore-errors
# `select.select` in terms of `poll`, the same in real and in virtual time.
POLLIN = 1
POLLOUT = 4
POLLERR = 8
POLLHUP = 16


def select_by(poller, readers, writers, errors, timeout_s):
    for stream in readers:
        poller.register(stream, POLLIN)
    for stream in writers:
        poller.register(stream, POLLOUT | (POLLIN if stream in readers else 0))
    ready = poller.poll(-1 if timeout_s is None else int(timeout_s * 1000))
    got = {id(stream): events for stream, events in ready}
    return (
        [s for s in readers if got.get(id(s), 0) & (POLLIN | POLLERR | POLLHUP)],
        [s for s in writers if got.get(id(s), 0) & (POLLOUT | POLLERR | POLLHUP)],
        [s for s in errors if got.get(id(s), 0) & POLLERR],
    )
