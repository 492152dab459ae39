# mypy: ignore-errors
# `ssl` as frozen into the ESP32 port: a thin layer over `tls`.
import _board
import tls
from tls import CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED, PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER

if _board.kernel.has_tls:

    def SSLContext(protocol):
        _board.simpler("TLS")
        return tls.SSLContext(protocol)

else:
    _missing = _board.missing("ssl")

    class SSLContext:
        def __init__(self, protocol):
            _missing("SSLContext")


def wrap_socket(
    sock,
    server_side=False,
    key=None,
    cert=None,
    cert_reqs=CERT_NONE,
    cadata=None,
    server_hostname=None,
    do_handshake=True,
):
    context = SSLContext(PROTOCOL_TLS_SERVER if server_side else PROTOCOL_TLS_CLIENT)
    context.verify_mode = cert_reqs
    if cert or key:
        context.load_cert_chain(cert, key)
    if cadata:
        context.load_verify_locations(cadata)
    return context.wrap_socket(
        sock, server_side=server_side, server_hostname=server_hostname, do_handshake_on_connect=do_handshake
    )


def __getattr__(name):
    return getattr(tls, name)
