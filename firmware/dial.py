# Opens the stream to the broker, TCP or TLS, within a time limit.

import socket


def dial(host, port, tls, timeout_s, idle):
    # (stream, socket under it), not blocking. OSError, with nothing left open, if it takes too long. Names,
    # connections and handshakes each block: `idle(0)`, which feeds a watchdog, comes between.
    if tls and tls.verify_mode:
        import clock

        clock.set_once()
        idle(0)
    address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]
    idle(0)
    raw = socket.socket()
    try:
        raw.settimeout(timeout_s)
        if hasattr(socket, "TCP_NODELAY"):  # else a PUBACK delays the result behind it by 40 ms
            raw.setsockopt(getattr(socket, "IPPROTO_TCP", 6), socket.TCP_NODELAY, 1)
        raw.connect(address)
        idle(0)
        stream = tls.wrap_socket(raw, server_hostname=host) if tls else raw
        raw.setblocking(False)
        return stream, raw
    except BaseException:
        raw.close()
        raise
