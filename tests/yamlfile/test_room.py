"""The reading of YAML stands alone: other files than scenarios, and nothing else of the testbed imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from dcompute_sim.yamlfile.include import read
from dcompute_sim.yamlfile.matrix import variations
from dcompute_sim.yamlfile.problems import LocatedError
from dcompute_sim.yamlfile.tree import to_data
from dcompute_sim.yamlfile.units import Duration
from dcompute_sim.yamlfile.validation import Choices, problems_of
from dcompute_sim.yamlfile.variables import substitute
from dcompute_sim.yamlfile.yaml_model import Count, Model, Text, exactly_one, wrong
from pydantic import Field, ValidationError, model_validator

MODULES = """
import dcompute_sim.yamlfile, importlib, pkgutil, sys
for module in pkgutil.iter_modules(dcompute_sim.yamlfile.__path__):
    importlib.import_module(f"dcompute_sim.yamlfile.{module.name}")
print(*(name for name in sys.modules if name.split(".")[0] in ("dcompute", "dcompute_sim")))
"""


class Boil(Model):
    """Heat water."""

    step: Literal["boil"]
    minutes: Duration = Field(description="How long.")


class Cut(Model):
    """Cut something."""

    step: Literal["cut"]
    pieces: Count | None = None
    size: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Cut:
        exactly_one(self, "pieces", "size")
        return self


class Recipe(Model):
    """What to cook."""

    name: Text
    steps: list[Annotated[Boil | Cut, Field(discriminator="step")]]

    @model_validator(mode="after")
    def _not_empty(self) -> Recipe:
        if not self.steps:
            raise wrong("nothing is cooked")
        return self


STEPS = Choices("step", {"boil": Boil, "cut": Cut}, key="step")


def recipes(path: Path, *settings: str) -> dict[str, Recipe]:
    found = {}
    root = read(path, noun="a recipe", hint="see the cookbook")
    for label, tree in variations(root, tuple(Recipe.model_fields), settings):
        tree = substitute(tree)
        try:
            found[label] = Recipe.model_validate(to_data(tree), by_alias=True, by_name=False)
        except ValidationError as error:
            raise LocatedError(problems_of(error, tree, Recipe, [STEPS], ["include", "vars"])) from None
    return found


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("vars: {long: 3min}\nname: soup\n")
    path = tmp_path / "soup.yaml"
    path.write_text(
        "include: base.yaml\nmatrix: {long: [2min, 5min]}\n"
        "steps:\n  - {step: boil, minutes: '${long}'}\n  - {step: cut, pieces: 4}\n"
    )
    return path


def test_includes_variables_settings_and_a_matrix_serve_any_file(recipe: Path) -> None:
    found = recipes(recipe, "name=stew")
    assert list(found) == ["long=2min", "long=5min"]
    assert [r.name for r in found.values()] == ["stew", "stew"]
    assert [r.steps[0].model_dump()["minutes"] for r in found.values()] == ["2min", "5min"]


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("[]", "1:1", "a recipe is a mapping (`key: value` lines); this is a list", "see the cookbook"),
        ("", "1:1", "the file is empty", "see the cookbook"),
        (
            "name: x\nsteps: [{step: boil, minutes: 2min}]\nstep: []\n",
            "3:1",
            "unknown key `step`",
            "did you mean `steps`?",
        ),
        ("name: x\nsteps: [{step: fry}]\n", "2:16", "no step is called `fry`", "allowed here: boil, cut"),
        ("name: x\nsteps: [{minutes: 2min}]\n", "2:9", "`step` is missing here", "one of: boil, cut"),
        (
            "name: x\nsteps: [{step: cut, minutes: 2min, pieces: 2}]\n",
            "2:21",
            "a `cut` has no `minutes`; these have: boil",
            "allowed here: step, pieces, size",
        ),
        ("name: x\nsteps: [{step: boil}]\n", "2:9", "`minutes` is missing here", "How long."),
        ("name: x\nsteps: [{step: boil, minutes: 2}]\n", "2:31", "a duration needs a unit", ""),
        ("name: x\nsteps: []\n", "1:1", "nothing is cooked", ""),
    ],
)
def test_what_is_wrong_is_said_at_its_place_in_the_words_of_that_file(
    tmp_path: Path, text: str, place: str, message: str, hint: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(LocatedError) as caught:
        recipes(path)
    problem = caught.value.problems[0]
    where = f"{problem.where.line}:{problem.where.column}"
    assert (where, problem.message[: len(message)]) == (place, message)
    assert hint in problem.hint
    assert str(problem).startswith(f"{path}:{place}: {message}")


def test_nothing_else_of_the_testbed_is_imported() -> None:
    ran = subprocess.run([sys.executable, "-c", MODULES], check=True, stdout=subprocess.PIPE, text=True)
    others = [name for name in ran.stdout.split() if not name.startswith("dcompute_sim.yamlfile")]
    assert others == ["dcompute_sim"]  # the package itself, which loads nothing
