"""The name of a serial port that stands in a file, as `dcompute board --port-file` writes it."""

from __future__ import annotations

from pathlib import Path

from dcompute.parts import number_of


def port_named(given: str, folder: Path) -> str:
    """Return the port meant: `FILE` or `FILE:3` is a file's first or third line; anything else is a port's
    name.

    Args:
        folder: what the file is relative to.

    Raises:
        ValueError: the file has no such line, or no lines.
    """
    name, _, digits = given.rpartition(":")
    numbered = bool(name) and digits.isdigit()
    number = int(digits) if numbered else 1
    file = folder / (name if numbered else given)
    if "://" in given or not file.is_file():
        return given
    try:
        lines = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"port {given}: {file} is no file of ports: {error}") from None
    if not 1 <= number <= len(lines):
        raise ValueError(f"port {given}: {file} has {number_of(len(lines), 'line')}")
    return lines[number - 1]
