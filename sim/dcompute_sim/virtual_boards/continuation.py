"""Where a statement typed at the friendly prompt ends."""

from __future__ import annotations

_COMPOUND = b"if while for try with def class async".split()


def wants_more(text: bytes, line: bytes) -> bool:
    """Say whether the statement begun with `text`, whose last line is `line`, goes on."""
    depth, quote = _open_at_end(text)
    if quote or depth > 0 or line.endswith(b"\\"):
        return True
    words = text.replace(b":", b" ").split(None, 1)
    compound = bool(words) and (words[0] in _COMPOUND or words[0].startswith(b"@"))
    return compound and bool(line.strip())


def _open_at_end(text: bytes) -> tuple[int, bytes]:
    """Count brackets that are open at the end of `text`; tell the triple quote that is."""
    depth, quote, at = 0, b"", 0
    while at < len(text):
        three, one = text[at : at + 3], text[at : at + 1]
        if one == b"\\":
            at += 2
            continue
        if quote:
            if text.startswith(quote, at):
                at += len(quote)
                quote = b""
                continue
            if one == b"\n" and len(quote) == 1:  # a syntax error, to be shown as such
                quote = b""
        elif three in (b"'''", b'"""'):
            quote = three
            at += 3
            continue
        elif one in (b"'", b'"'):
            quote = one
        elif one == b"#":
            end = text.find(b"\n", at)
            at = len(text) if end < 0 else end
            continue
        elif one in (b"(", b"[", b"{"):
            depth += 1
        elif one in (b")", b"]", b"}"):
            depth -= 1
        at += 1
    return depth, quote if len(quote) == 3 else b""
