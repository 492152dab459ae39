"""This project's own simulation of a greenhouse: nothing of dcompute's."""


def temperature(sun: float, window: float) -> float:
    """Degrees inside, for the sun's share of its best and the window's opening, both from 0 to 1."""
    return 12.0 + 25.0 * sun * (1.0 - 0.6 * window)
