"""How the documents become a site: `python -m sphinx -W -b html docs site`.

Strict: whatever Sphinx warns of fails the build, and tests/docs builds it. A link to a page, a heading or a
public name that is not there is a warning; so is a name of ours in a public signature that no page documents.

The pages are read where they stand, too, with the links that work there. `PAGES` are those outside of this
folder: each has a stub here, whose place its text takes, and links are turned into those of the site. A link
to a file that is no page becomes its path. Public names that no page arranges stand where a page says so.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "dcompute"
author = "the authors of dcompute"
copyright = "2026, the authors of dcompute"
release = version = version_of("dcompute")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "dcompute"
html_copy_source = False
myst_heading_anchors = 4  # headings are linked to by the names that they have on the web

nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!dcompute).*")]  # the standard library's inventory is on the network
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = {
    "index": "README.md",
    "russian": "README.ru.md",
    "firmware": "firmware/README.md",
    "emulator": "sim/dcompute_sim/micropython/README.md",
    "examples": "examples/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def linked(text: str, folder: Path) -> str:
    """Return the text with its links as they are to be on the site.

    Args:
        folder: where the text stands; its links are relative to that.
    """

    def replaced(link: re.Match[str]) -> str:
        image, words, target, anchor = link.groups()
        path = Path(os.path.normpath(folder / target))
        pages = {ROOT / page: DOCS / f"{name}.md" for name, page in PAGES.items()}
        path = pages.get(path, path)
        if not path.exists() or image or (path.suffix == ".md" and path.is_relative_to(DOCS)):
            return f"{image}[{words}]({os.path.relpath(path, DOCS)}{anchor or ''})"
        shown = path.relative_to(ROOT).as_posix()
        return words if shown in words else f"{words} (`{shown}`)"

    return _LINK.sub(replaced, text)


REST = "<!-- the rest of {} -->"


def rest_of(package: str, page: str) -> str:
    """Document the public names of a package that the page does not arrange itself."""
    module = importlib.import_module(package)
    directives = []
    for name in module.__all__:
        value = getattr(module, name)
        if not inspect.isclass(value) and not inspect.isfunction(value):
            continue
        if not re.search(rf"auto\w+:: {re.escape(package)}\.{name}$", page, re.M):
            kind = "autoclass" if inspect.isclass(value) else "autofunction"
            directives += [f".. {kind}:: {package}.{name}", "   :members:" if kind == "autoclass" else "", ""]
    return "\n".join(("```{eval-rst}", *directives, "```")) if directives else ""


def take_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put a page's text in place of its stub, before Sphinx reads it."""
    if name not in PAGES:
        source[0] = linked(source[0], DOCS)
        for package in ("dcompute", "dcompute_sim"):
            mark = REST.format(package)
            if mark in source[0]:
                source[0] = source[0].replace(mark, rest_of(package, source[0]))
        return
    page = ROOT / PAGES[name]
    source[0] = linked(page.read_text(encoding="utf-8"), page.parent) + "\n" + source[0]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", take_in)
