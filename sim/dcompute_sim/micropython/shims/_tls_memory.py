# mypy: ignore-errors
# What a TLS connection takes of a chip's memory beside MicroPython's heap, where the threads' stacks are too.
#
# ESP-IDF, CONFIG_MBEDTLS_SSL_IN_CONTENT_LEN 16384 and OUT_CONTENT_LEN 4096 (MicroPython's sdkconfig.base),
# and what stands before and behind each (mbedtls, ssl_misc.h).
import _stacks

_BYTES = 16384 + 4096 + 2 * 333
_ENOMEM = 12


def take():
    # OSError(ENOMEM) as mbedtls_raise_error (MBEDTLS_ERR_SSL_ALLOC_FAILED).
    if not _stacks.fits(_BYTES):
        raise OSError(_ENOMEM)
    _stacks.other_bytes += _BYTES


def give():
    _stacks.other_bytes -= _BYTES
