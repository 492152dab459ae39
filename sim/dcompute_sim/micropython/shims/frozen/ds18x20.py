# mypy: ignore-errors
import _board

_board.absent("ds18x20")
