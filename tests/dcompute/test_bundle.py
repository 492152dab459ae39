"""Bundle: what a version is made of, its name, its manifest, its signature."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dcompute.bundle import BadBundle, Bundle, product_folder

FILES = {"main.py": b"print(1)\n", "lib/part.py": b"x = 1\n"}


def test_the_manifest_is_canonical_and_names_each_file() -> None:
    one, other = Bundle("v1", FILES), Bundle("v1", dict(reversed(FILES.items())))
    assert one.manifest() == other.manifest()
    assert json.loads(one.manifest()) == {
        "version": "v1",
        "confirm_s": 120,
        "bytes": 15,
        "files": {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()},
    }


def test_the_version_is_the_contents_unless_named() -> None:
    unnamed = Bundle("", FILES)
    assert len(unnamed.version) == 12
    assert Bundle("", {**FILES, "config.py": b"NODE_ID = 'a'\n"}).version == unnamed.version
    assert Bundle("", {**FILES, "main.py": b"print(2)\n"}).version != unnamed.version


def test_a_signature_is_for_one_key_one_incarnation_one_content() -> None:
    bundle = Bundle("v1", FILES)
    signature = bundle.sign(b"secret", "boot.1")
    assert bundle.verify(b"secret", "boot.1", signature)
    assert not bundle.verify(b"other", "boot.1", signature)
    assert not bundle.verify(b"secret", "boot.2", signature)
    assert not Bundle("v2", FILES).verify(b"secret", "boot.1", signature)
    assert not Bundle("v1", {**FILES, "main.py": b"print(3)\n"}).verify(b"secret", "boot.1", signature)
    assert not bundle.verify(b"secret", "boot.1", "no hex: я")


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
    assert Bundle.from_folder(tmp_path, "v1") == Bundle("v1", FILES)
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
