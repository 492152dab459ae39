"""`timing:` of a group: chips by name, files of one's own, and what a measured board knows better."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim import chips
from dcompute_sim.chips.chip_timing import NAMES, ChipTiming, chip_named
from dcompute_sim.scenario import load
from dcompute_sim.yamlfile.problems import LocatedError

SHIPPED = Path(str(chips.__file__)).parent
SCENARIO = """
version: 1
name: x
duration: 1s
fleet: {{esp: {{kind: firmware, timing: {timing}}}}}
expect: [callback_once]
"""


def scenario(folder: Path, timing: str) -> ChipTiming | None:
    path = folder / "x.yaml"
    path.write_text(SCENARIO.format(timing=timing))
    return load(path).fleet["esp"].chip()


def test_there_is_a_file_of_each_chip_and_esp32_is_the_default(tmp_path: Path) -> None:
    assert NAMES == ("esp32", "esp32-allocations", "esp32-c3", "esp32-s3")
    esp32, by_allocations, c3, s3 = map(chip_named, NAMES)
    assert esp32 is not None
    assert by_allocations is not None
    assert by_allocations.allocate > 0 == esp32.allocate
    assert by_allocations.model_copy(update={"allocate": 0.0, "branches": esp32.branches}) == esp32
    assert c3 is not None
    assert s3 is not None
    assert s3.branches < c3.branches < esp32.branches
    assert scenario(tmp_path, "null") == esp32
    assert scenario(tmp_path, "none") is None


def test_a_file_of_ones_own_is_relative_to_the_scenario(tmp_path: Path) -> None:
    text = (SHIPPED / "esp32.yaml").read_text()
    (tmp_path / "psram.yaml").write_text(text.replace("collect: 2ms", "collect: 250ms"))
    chip = scenario(tmp_path, "psram.yaml")
    assert chip is not None
    assert chip.collect == 0.25


@pytest.mark.parametrize(
    ("timing", "old", "new", "said"),
    [
        ("esp23", "", "", "no chip and no file `esp23`"),
        ("own.yaml", "boot: 285ms", "boot: 285", "a duration needs a unit"),
        ("own.yaml", "boot: 285ms", "boots: 285ms", "unknown key `boots`"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, timing: str, old: str, new: str, said: str
) -> None:
    (tmp_path / "own.yaml").write_text((SHIPPED / "esp32.yaml").read_text().replace(old, new))
    with pytest.raises(LocatedError, match=said):
        scenario(tmp_path, timing)
