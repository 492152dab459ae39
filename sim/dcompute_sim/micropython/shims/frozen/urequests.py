# mypy: ignore-errors
# `urequests`, the older name of `requests`.
from requests import *  # noqa: F403
