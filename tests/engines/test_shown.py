"""What a program puts out at its pins is seen where the scenario shows them, for expectations to ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import load

PROGRAM = """
from machine import DAC, PWM, Pin, Signal
import neopixel, time
relay = Pin(2, Pin.OUT, value=0)
relay.on()
relay.on()
relay.toggle()
Signal(relay, invert=True).off()
Pin(4, Pin.OUT, value=1)
servo = PWM(Pin(18), freq=50, duty=26)
servo.duty(26)
servo.duty_u16(8192)
servo.freq(100)
servo.deinit()
servo.deinit()
DAC(Pin(25)).write(128)
strip = neopixel.NeoPixel(Pin(5), 2)
strip[1] = (1, 2, 3)
strip.write()
bus = Pin(21, Pin.OPEN_DRAIN, Pin.PULL_UP, value=1)
bus.value(0)
bus.value(1)
PWM(Pin(19))
"""
SCENARIO = """
version: 1
name: outputs
duration: 4s
fleet:
  n: {kind: firmware, files: program, stand_ins: {shown: [2, 5, 18, 21, 25]}}
expect:
  - sometimes: {event: pin_shown, where: {node: n-1, pin: 18, hz: 100}}
"""


@pytest.mark.parametrize("time", ["virtual", "real"])
def test_each_change_of_a_shown_pin_is_an_event(tmp_path: Path, time: Literal["virtual", "real"]) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program/main.py").write_text(PROGRAM)
    (tmp_path / "outputs.yaml").write_text(SCENARIO)
    outcome = run_scenario(load(tmp_path / "outputs.yaml"), RunOptions(time=time))
    seen = [event for event in outcome.trace if isinstance(event, t.PinShown)]
    assert [(event.pin, event.what, event.value, event.hz, event.colours) for event in seen] == [
        (2, "level", 1, 0, ""),
        (2, "level", 0, 0, ""),
        (2, "level", 1, 0, ""),
        (18, "pwm", 26 << 6, 50, ""),
        (18, "pwm", 8192, 50, ""),
        (18, "pwm", 8192, 100, ""),
        (18, "pwm", 0, 100, ""),
        (25, "dac", 128, 0, ""),
        (5, "lights", 2, 0, "000000020103"),
        (21, "level", 1, 0, ""),
        (21, "level", 0, 0, ""),
        (21, "level", 1, 0, ""),
    ]
    judged = {result.name: result.outcome.status for result in outcome.verdict.results}
    assert judged["sometimes"] is Status.HELD
    told = {event.name for event in outcome.trace if isinstance(event, t.NotModelled)}
    assert told == {"machine.PWM"}, "of pin 19, which nobody shows"
