# mypy: ignore-errors
# Runs behind a boot.py where the testbed wants to know that it is over (`Board.tells_boot`).
import _board

_board.report({"ev": "booted"})
