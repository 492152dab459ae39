"""README.md and README.ru.md say the same, and what they say works; every command in a document is one."""

from __future__ import annotations

import io
import itertools
import re
import shlex
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from dcompute_sim.commands import app as sim_commands
from dcompute_sim.mutants import MUTANTS
from dcompute_sim.scenario import load

from dcompute.cli import app

from ..conftest import PATIENCE_S, running
from .conftest import ROOT, TEXTS

ENGLISH, RUSSIAN = (ROOT / name for name in ("README.md", "README.ru.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def shown(text: str) -> list[str]:
    """Lines of indented blocks: commands, and what they print."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [line[4:] for line in outside.splitlines() if line.startswith("    ") and line.strip()]


def bare(code: str) -> list[str]:
    """Python's tokens without comments, with texts as `…`: those are translated."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    skipped = (tokenize.COMMENT, tokenize.NL)
    return [
        "…" if t.type == tokenize.STRING and t.string.startswith("f") else t.string
        for t in tokens
        if t.type not in skipped
    ]


def command_of(line: str) -> str:
    return re.sub(r"\s+#.*", "", line)


def test_both_languages_show_the_same_commands_output_and_examples() -> None:
    english, russian = ENGLISH.read_text("utf-8"), RUSSIAN.read_text("utf-8")
    assert list(map(command_of, shown(english))) == list(map(command_of, shown(russian)))
    assert blocks(english, "yaml") == blocks(russian, "yaml")
    assert list(map(bare, blocks(english, "python"))) == list(map(bare, blocks(russian, "python")))
    level = r"^(#+) "
    assert re.findall(level, english, re.M) == re.findall(level, russian, re.M)
    assert re.findall(r"\]\((docs/report[^)]*)", english) == re.findall(r"\]\((docs/report[^)]*)", russian)
    for document in (english, russian):
        links = set(re.findall(r"\]\(([^)]+)\)", document))
        assert {"docs/scenarios.md", "docs/ci.md", "docs/hardware.md", "CONTRIBUTING.md", "LICENSE"} <= links


def test_the_two_commands_come_first_and_are_those_of_dev_py() -> None:
    commands = [line for line in shown(ENGLISH.read_text("utf-8")) if line.startswith("python3 dev.py")]
    assert commands == ["python3 dev.py run quickstart", "python3 dev.py test"]


def test_the_sample_output_is_of_the_scenario_as_it_is() -> None:
    lines = shown(ENGLISH.read_text("utf-8"))
    judged = [found[1] for line in lines if (found := re.match(r"held +(\w+) ", line))]
    expected = [check.name for check in load(ROOT / "scenarios" / "quickstart.yaml").expect]
    assert judged == [*expected, "run_completed", "fault_receipts"]
    assert f"held: {len(judged)} of {len(judged)} expectations held (exit status 0)" in lines


def test_the_three_uses_work(tmp_path: Path) -> None:
    english = ENGLISH.read_text("utf-8")
    (scenario,) = (text for text in blocks(english, "yaml") if text.startswith("# night.yaml"))
    (test,) = (text for text in blocks(english, "python") if text.startswith("# test_night.py"))
    (tmp_path / "night.yaml").write_text(scenario)
    (tmp_path / "test_night.py").write_text(test)
    for words in (
        ["-m", "dcompute", "run", "night.yaml", "--plain"],
        ["-m", "pytest", "-p", "no:cacheprovider", "test_night.py"],
    ):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "held: 5 of 5" in done.stdout or "2 passed" in done.stdout


def test_a_master_and_a_node_work_together(tmp_path: Path) -> None:
    examples = blocks(ENGLISH.read_text("utf-8"), "python")
    (master,) = (text for text in examples if "MasterNodeTransport(" in text)
    (node,) = (text for text in examples if "ComputeNodeTransport(" in text)
    serve = ("-m", "dcompute", "broker", "--kind", "model", "--listen", "0")
    with running(*serve, cwd=tmp_path, until="listens on") as said:
        port = re.search(r":(\d+) ", said)
        assert port is not None
        for name, text in (("master.py", master), ("node.py", node)):
            here = f'broker_host="127.0.0.1", broker_port={port[1]}'
            (tmp_path / name).write_text(text.replace('broker_host="localhost"', here))
        (tmp_path / "work.py").write_text("def handle(task):\n    return sum(task['args'])\n")
        handler = (
            "-m",
            "dcompute",
            "node",
            "--handler",
            "work:handle",
            "--broker",
            f"mqtt://127.0.0.1:{port[1]}",
        )
        with running("node.py", cwd=tmp_path, until=""), running(*handler, cwd=tmp_path, until=""):
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(WAIT_FOR_TWO).format(port=port[1])], cwd=tmp_path
            )
            assert done.returncode == 0
            command = [sys.executable, "master.py"]
            told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("'result': 3") == 2, told.stdout


def test_a_fleet_does_the_work(tmp_path: Path) -> None:
    (example,) = (text for text in blocks(ENGLISH.read_text("utf-8"), "python") if "FleetExecutor(" in text)
    count_words = "def count_words(text): return Counter(text.split())"
    assert f"mymodule.py has `{count_words}`" in ENGLISH.read_text("utf-8")
    (tmp_path / "mymodule.py").write_text(f"from collections import Counter\n{count_words}\n")
    with running("-m", "dcompute", "broker", "--kind", "model", "--listen", "0", until="listens on") as said:
        port = re.search(r":(\d+) ", said)
        assert port is not None
        where = ("--broker", f"mqtt://127.0.0.1:{port[1]}")
        node = ("-m", "dcompute", "node", "--functions", "mymodule", *where)
        here = example.replace('"localhost"', f'"127.0.0.1", {port[1]}')
        with running(*node, cwd=tmp_path, until="is ready"):
            told = subprocess.run(
                [sys.executable, "-c", here], capture_output=True, text=True, timeout=PATIENCE_S
            )
    assert told.stdout == "[('to', 2), ('be', 2)]\n", told.stderr


WAIT_FOR_TWO = """
    import sys, time
    from dcompute import MasterNodeTransport
    with MasterNodeTransport("127.0.0.1", {port}) as master:
        for _ in range(1500):
            if len(master.get_nodes_by_status("ready")) == 2:
                break
            time.sleep(0.01)
        else:
            sys.exit("the nodes did not come up")
"""


# --- commands ---


@pytest.fixture(scope="module")
def command() -> Any:
    """The whole `dcompute` command, as Typer makes it of its functions."""
    whole = typer.Typer()
    for part in (app, sim_commands):
        whole.registered_commands += part.registered_commands
        whole.registered_groups += part.registered_groups
    return typer.main.get_command(whole)


def documented_commands() -> Iterator[tuple[str, str]]:
    for path in TEXTS:
        if path.name == "CHANGELOG.md":
            continue
        text = path.read_text(encoding="utf-8")
        lines = [line.strip().removeprefix("- run: ") for line in text.splitlines()]
        found = [line for line in lines if line.startswith("dcompute ")]
        found += re.findall(r"`(dcompute [a-z][^`\n]*)`", text)
        for line in found:
            yield path.relative_to(ROOT).as_posix(), command_of(line).rstrip("&; ")


def complaint(command: Any, line: str) -> str:
    """What of a command line is not there: a subcommand, an option or a mutant."""
    words = shlex.split(line.replace("...", " "))[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    takes_words = any(parameter.param_type_name == "argument" for parameter in command.params)
    if hasattr(command, "commands") and not takes_words and words and re.match("[a-z]", words[0]):
        return f"no command {words[0]!r}"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word, following in itertools.pairwise((*words, "")):
        option = word.partition("=")[0]
        if re.match("--?[a-z]", option) and option not in options:
            return f"{command.name} has no option {option}"
        if option == "--mutant" and following not in MUTANTS and not following.isupper():
            return f"no mutant {following!r}"
    return ""


def test_every_command_in_a_document_is_one(command: Any) -> None:
    commands = list(documented_commands())
    assert len(commands) > 100
    wrong = [f"{where}: {line}: {told}" for where, line in commands if (told := complaint(command, line))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("dcompute run x.yaml --time virtual", ""),
        ("dcompute board do reset ports:1", ""),
        ("dcompute sabotage", "no command 'sabotage'"),
        ("dcompute run x --sabotage fifo-queue", "run has no option --sabotage"),
        ("dcompute run x --mutant nobody", "no mutant 'nobody'"),
    ],
)
def test_what_is_wrong_in_a_command(command: Any, line: str, told: str) -> None:
    assert complaint(command, line) == told
