"""What goes wrong in a greenhouse; nothing of dcompute's."""

STUCK_WINDOW = {"window": 0.0}
