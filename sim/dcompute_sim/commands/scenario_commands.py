"""`dcompute explain`, `new` and `schema`: help with writing scenarios."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from dcompute_sim.commands.options import Overrides, Seed
from dcompute_sim.commands.status import INVALID, explained
from dcompute_sim.output_files import write_output
from dcompute_sim.scenario import find, load_all
from dcompute_sim.scenario.explain import explain as in_words
from dcompute_sim.scenario.schema import SCHEMA_FILE, json_schema, json_schema_text
from dcompute_sim.scenario.write import starter


def explain(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of one that ships.")],
    set_: Overrides = None,
    seed: Seed = None,
) -> None:
    """Say in words what a scenario will do, and when."""
    with explained():
        for entry in load_all(find(scenario), set_ or (), seed):
            typer.echo(in_words(entry))


def new(
    name: Annotated[str, typer.Argument(help="Of the scenario, or the path of its file: NAME.yaml.")],
    template: Annotated[
        str | None, typer.Option("--from", help="A scenario to copy, a file or one that ships.")
    ] = None,
) -> None:
    """Write a commented scenario to start from, and beside it the schema by which editors complete it."""
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if path.exists():
        typer.echo(f"{path} exists already; choose another name", err=True)
        raise typer.Exit(INVALID)
    with explained():
        text = starter(path.stem)
        if template is not None:
            text = re.sub(r"(?m)^name: .*$", f"name: {path.stem}", find(template).read_text("utf-8"), count=1)
        write_output(path, text)
        schema_beside = path.with_name(SCHEMA_FILE)
        if not schema_beside.exists():
            write_output(schema_beside, json_schema_text())
    typer.echo(f"wrote {path}; run it with: dcompute run {path}")


def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
