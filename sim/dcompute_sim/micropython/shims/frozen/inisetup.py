# mypy: ignore-errors
import _board

_board.absent("inisetup")
