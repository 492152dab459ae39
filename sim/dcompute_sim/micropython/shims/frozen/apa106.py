# mypy: ignore-errors
# `apa106`: as `neopixel`, red first.
from neopixel import NeoPixel


class APA106(NeoPixel):
    ORDER = (0, 1, 2, 3)
