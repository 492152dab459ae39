"""Measurements of what the project promises about speed: `python -m benchmarks`."""
