"""This project's own `scenario`; nothing of dcompute's."""
