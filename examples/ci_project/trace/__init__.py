"""This project's own `trace`; nothing of dcompute's."""
