"""Bundle: what a version is made of, its name, its manifest, its signature."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dcompute.bundle import BadBundle, Bundle, file_digest, product_folder

FILES = {"main.py": b"print(1)\n", "lib/part.py": b"x = 1\n"}


def test_the_manifest_is_canonical_and_names_each_file() -> None:
    one, other = Bundle("v1", FILES), Bundle("v1", dict(reversed(FILES.items())))
    assert one.manifest() == other.manifest()
    assert json.loads(one.manifest()) == {
        "ota": 2,
        "release": 0,
        "version": "v1",
        "confirm_s": 120,
        "bytes": 15,
        "files": {path: file_digest(data) for path, data in FILES.items()},
    }


def test_the_version_is_the_contents_unless_named() -> None:
    unnamed = Bundle("", FILES)
    assert len(unnamed.version) == 12
    assert Bundle("", {**FILES, "config.py": b"NODE_ID = 'a'\n"}).version == unnamed.version
    assert Bundle("", {**FILES, "main.py": b"print(2)\n"}).version != unnamed.version


@pytest.mark.parametrize(
    ("files", "settings", "fault"),
    [
        ({"a.py": b""}, {}, "no main.py"),
        ({**FILES, "../boot.py": b""}, {}, "inside the slot"),
        ({**FILES, "/boot.py": b""}, {}, "inside the slot"),
        ({**FILES, "a//b.py": b""}, {}, "inside the slot"),
        ({**FILES, "x" * 65: b""}, {}, "inside the slot"),
        ({**FILES, "version.json": b""}, {}, "keeps this name"),
        (FILES, {"version": "v\n2"}, "printable"),
        (FILES, {"version": "v" * 65}, "printable"),
        (FILES, {"confirm_s": 5}, "confirm_s 5"),
    ],
)
def test_what_no_board_can_take_is_refused(
    files: dict[str, bytes], settings: dict[str, object], fault: str
) -> None:
    with pytest.raises(BadBundle, match=fault):
        Bundle(**{"version": "v1", "files": files} | settings)  # type: ignore[arg-type]


def test_a_folder_is_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "__pycache__").mkdir()
    for path, data in {**FILES, "boot.py": b"", "__pycache__/x.pyc": b""}.items():
        (tmp_path / path).write_bytes(data)
    assert Bundle.from_folder(tmp_path, "v1", release=3) == Bundle("v1", FILES, release=3)
    began_s = int(time.time())
    assert began_s <= Bundle.from_folder(tmp_path, "v1").release <= time.time()
    with pytest.raises(BadBundle, match="no such folder"):
        Bundle.from_folder(tmp_path / "missing")
    (tmp_path / "main.py").unlink()
    with pytest.raises(BadBundle, match=f"bundle {tmp_path}: no main.py"):
        Bundle.from_folder(tmp_path)


def test_the_product_is_a_bundle() -> None:
    bundle = Bundle.from_folder(product_folder())
    assert {"main.py", "compute_node.py", "dcompute/node_core.py", "dcompute/node_wire.py"} <= set(
        bundle.files
    )
    assert not {"boot.py", "launcher.py", "config_example.py", "version.json"} & set(bundle.files)
