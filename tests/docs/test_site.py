"""The site is made without a warning, documents every public name, and would not be with a fault in it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import dcompute_sim
import pytest
from sphinx.util.inventory import InventoryFile

import dcompute
import dcompute.events
import dcompute.extras

from .conftest import ROOT, build

BETWEEN_PARTS = "link_"
"""Methods of transports that begin so are called by their link; `dcompute.parts` says who may care."""


@pytest.fixture(scope="module")
def documented(site: Path) -> set[str]:
    found = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, names in found.data.items() if kind.startswith("py:") for name in names}


def public_names() -> Iterator[tuple[str, object]]:
    """The names of the public packages, and what classes of ours have that is public."""
    for package in (dcompute, dcompute.events, dcompute.extras, dcompute_sim):
        names = getattr(package, "__all__", None) or [
            name
            for name, value in vars(package).items()
            if inspect.isclass(value) and value.__module__ == package.__name__
        ]
        for name in names:
            value = getattr(package, name)
            if not inspect.isclass(value) and not inspect.isfunction(value):
                continue
            yield f"{package.__name__}.{name}", value
            if not inspect.isclass(value) or package is not dcompute:
                continue
            for member, inside in vars(value).items():
                if not member.startswith(("_", BETWEEN_PARTS)) and (
                    inspect.isfunction(inside) or isinstance(inside, property)
                ):
                    yield f"{package.__name__}.{name}.{member}", inside


def test_every_public_name_is_on_a_page(documented: set[str]) -> None:
    names = dict(public_names())
    assert len(names) > 60
    missing = set(names) - documented
    assert not missing, f"without docstring, or not named in docs/api.md: {sorted(missing)}"


def test_every_public_name_says_what_it_is() -> None:
    silent = [name for name, value in public_names() if not inspect.getdoc(value)]
    assert silent == []


CONF = (ROOT / "docs" / "conf.py").read_text()


FAULTY = """\
# T

[there](nowhere.md), [here](#nothing-of-this-name)

```{eval-rst}
.. autoclass:: dcompute.Nothing

.. py:function:: f(x: dcompute.NoType)
```
"""


def test_each_fault_fails_the_site(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "conf.py").write_text(CONF.replace('    "index": "README.md",\n', ""))
    (docs / "index.md").write_text(FAULTY)
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    for complaint in ("nowhere.md", "nothing-of-this-name", "import 'Nothing'", "dcompute.NoType"):
        assert complaint in done.stderr, complaint
