"""What is wrong with files, disks, descriptors and remote texts: a sentence, a status, nothing corrupt."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers import open_files
from dcompute_sim.commands import app
from dcompute_sim.output_files import OutputError, TraceFile
from dcompute_sim.report.text import event_line
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import load
from dcompute_sim.trace import read
from typer.testing import CliRunner, Result

from dcompute.cli import app as production

SMALL = """
version: 1
name: small
duration: 2s
fleet: {py: {count: 1}}
expect: [no_errors_in_log]
"""

NOWHERE = "/proc/nowhere"  # not even root can write there


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run; a scenario and some rubbish lie in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "rubbish").write_bytes(bytes(range(128, 256)))
    (tmp_path / "folder").mkdir()
    return tmp_path


def invoke(*words: str, program: object = app) -> Result:
    result = CliRunner().invoke(program, words)  # type: ignore[arg-type]
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("kind", ["--trace", "--html", "--junit", "--json", "--perfetto", "--pcap"])
@pytest.mark.parametrize("where", ["/dev/full", f"{NOWHERE}/x"])
def test_what_cannot_be_written_is_named_with_status_3(kind: str, where: str) -> None:
    result = invoke("run", "small.yaml", "--time", "virtual", "-q", kind, where)
    assert result.exit_code == 3
    assert where.split("/x")[0] in result.stderr


def test_new_in_a_folder_that_is_closed() -> None:
    result = invoke("new", f"{NOWHERE}/x")
    assert result.exit_code == 3
    assert NOWHERE in result.stderr


FLEET = "boards: {kiln: {port: /dev/ttyNONE, wifi: {ssid: w}, broker: {host: h}, login: {password: x}}}"


@pytest.mark.parametrize(
    "words",
    [
        ("broker", "passwd", f"{NOWHERE}/x", "u"),
        ("acl", "fleet.yaml", "--password-file", f"{NOWHERE}/x"),
        ("deploy", "--port", "/dev/ttyNONE", "--key-file", f"{NOWHERE}/x"),
        ("deploy", "pack", f"{NOWHERE}/x"),
    ],
)
def test_what_keeps_secrets_or_versions_says_where_it_cannot(
    folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCOMPUTE_PASSWORD", "x")
    (folder / "fleet.yaml").write_text(FLEET)
    result = invoke(*words)
    assert result.exit_code == 3, result.output
    assert "cannot be written" in result.stderr
    assert NOWHERE in result.stderr


@pytest.fixture
def little_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files end at 1,000 bytes; none of Python's own, which would keep half a module for good."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_trace_that_the_disk_has_no_room_for_is_removed(folder: Path, little_disk: None) -> None:
    (folder / "t.jsonl").write_text("of a run before")
    for words in ((), ("--trace", "t.jsonl"), ("--no-trace", "--pcap", "t.jsonl")):
        result = invoke("run", "small.yaml", "--time", "virtual", "--plain", *words)
        assert result.exit_code == 3
        assert "cannot be written" in result.stderr
    assert not list(folder.rglob("*.jsonl")), "half a trace would be judged like a whole one"


@pytest.mark.parametrize(
    "words",
    [
        ("new", "x"),
        ("run", "small.yaml", "--time", "virtual", "-q", "--html", "x"),
        ("deploy", "pack", "x", "--version", "v"),
    ],
)
def test_a_disk_without_room_keeps_no_half_of_anything(
    folder: Path, little_disk: None, words: tuple[str, ...]
) -> None:
    before = sorted(folder.rglob("*"))
    result = invoke(*words)
    assert result.exit_code == 3
    assert "cannot be written" in result.stderr
    left = [path.name for path in sorted(folder.rglob("*")) if path not in before and path.is_file()]
    assert left == []


def test_each_run_has_a_trace_of_its_own(folder: Path) -> None:
    for _ in range(3):
        assert invoke("run", "small.yaml", "--time", "virtual", "-q").exit_code == 0
    names = sorted(path.name for path in (folder / "runs").iterdir())
    assert names == ["small-1.jsonl", "small-2.jsonl", "small-3.jsonl", "small.jsonl"]
    assert (folder / "runs" / "small.jsonl").resolve().name == "small-3.jsonl"
    (folder / "runs" / "small-3.jsonl").unlink()
    assert invoke("run", "small.yaml", "--time", "virtual", "-q").exit_code == 0
    assert read(folder / "runs" / "small.jsonl").started.scenario == "small.yaml"


def test_runs_at_once_never_share_a_trace(folder: Path) -> None:
    files: list[TraceFile] = []

    def open_one() -> None:
        files.append(TraceFile(folder / "t.jsonl", numbered=True))

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({file.path for file in files}) == 8
    for number, file in enumerate(files):
        with file:
            file.write(b"%d" % number)
    assert [file.path.read_bytes() for file in files] == [b"%d" % number for number in range(8)]


def test_a_trace_that_another_run_writes_is_left_alone(folder: Path) -> None:
    with TraceFile(folder / "t.jsonl") as first:
        first.write(b"mine")
        with pytest.raises(OutputError, match="another run writes it now"):
            TraceFile(folder / "t.jsonl")
    assert (folder / "t.jsonl").read_bytes() == b"mine"


def test_the_digest_does_not_depend_on_how_the_path_was_typed(folder: Path) -> None:
    references = ("small.yaml", "./small.yaml", f"{folder}/small.yaml", "small")
    scenario = load("small.yaml")
    digests = {run_scenario(scenario, RunOptions(reference=name)).trace.digest() for name in references}
    assert len(digests) == 1


def test_too_few_files_may_be_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "raise_open_files", lambda wanted: 50)
    for words in ((), ("--trace", "t.jsonl")):
        result = invoke("run", "small.yaml", "--time", "real", "-q", *words)
        assert result.exit_code == 3
        assert "open files are needed and 50 allowed" in result.stderr
    assert not [*folder.rglob("*.jsonl")], "a run that could not begin has no trace"


@pytest.mark.parametrize(
    "text",
    [
        "root:x:0:0:secret\n",
        "root:x\na:b:c\nsecret\n",
        "password: secret\n",
        "- secret\n",
        "a: [secret\n",
        "fleet: secret\n",
        "",
    ],
)
def test_an_included_file_outside_is_never_quoted(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "shadow"
    outside.write_text(text)
    (folder / "small.yaml").write_text(f"include: {outside}\n{SMALL}")
    if text.startswith("fleet"):
        (folder / "small.yaml").write_text(f"include: {outside}\nversion: 1\nname: small\nduration: 1s\n")
    result = invoke("run", "small.yaml", "--time", "virtual", "-q")
    assert result.exit_code == 2
    assert result.stderr.count(f"{outside}:") == 1, "nor is told how many lines it has"
    assert "secret" not in result.output
    inside = folder / "folder" / "base.yaml"
    inside.write_text("bords: secret\n")
    (folder / "small.yaml").write_text(f"include: folder/base.yaml\n{SMALL}")
    assert "bords: secret" in invoke("run", "small.yaml", "-q").stderr


@pytest.mark.parametrize("password", ["hunter2", "hun/ter2", "a@hunter2", "hunter2" * 20])
@pytest.mark.parametrize("key", ["broker", "brokr"])
def test_a_password_in_a_broker_s_url_is_never_quoted(folder: Path, password: str, key: str) -> None:
    url = f"mqtt://u:{password}@127.0.0.1:1"
    (folder / "own.yaml").write_text(f"{SMALL}{key}: {url}\n")
    outputs = ("--json", "r.json", "--junit", "r.xml")
    for words in (("small.yaml", "--set", f"{key}={url}"), ("own.yaml",)):
        result = invoke("run", *words, *outputs)
        assert result.exit_code == 2
        assert "mqtt://u:***@" in result.stderr or key == "brokr"
        written = "".join((folder / name).read_text() for name in ("r.json", "r.xml"))
        assert not any(part in result.output + written for part in ("hunter2", "ter2"))


HOSTILE = "up\x1b[2J\n12:00:00 forged: line\r\x9b1m\u202e"


@pytest.mark.parametrize(
    "printed",
    [
        lambda: event_line(t.LogLine(t_us=0, who="n", level="warning", text=HOSTILE)),
        lambda: event_line(t.NodeStatusSeen(t_us=0, node="n", status=HOSTILE, inc=HOSTILE)),
        lambda: followed(HOSTILE),
    ],
)
def test_remote_texts_cannot_forge_a_line_or_move_a_cursor(printed: Callable[[], str]) -> None:
    said = printed()
    assert "forged" in said
    assert said.isprintable(), said


def followed(text: str) -> str:
    from dcompute_sim.deploy.follow import Follower

    from dcompute.events import NodeStatusSeen

    said: list[str] = []
    Follower([], said.append).news(NodeStatusSeen("n", text, "a.1"))
    return said[0]


ODD = """
report rubbish
report folder
report /nope.jsonl
compare folder
at rubbish 3s
shrink folder
shrink rubbish
explain folder
explain rubbish
run rubbish
run small.yaml --set =
run small.yaml --replay folder
run small.yaml --seeds x
new x:y
new folder/
new small2 --from folder
acl folder
acl rubbish
acl small.yaml
broker passwd folder u
broker passwd rubbish u
broker check nope
broker check mqtt://[::
broker --state folder --listen 0
deploy --fleet folder --all
deploy --port /nope --config folder
deploy logs --port rubbish --seconds 1
board check folder
map /nope --function f
map rubbish --function f
map folder --function f
submit f --journal folder
submit f --journal rubbish
submit f --where x
update --all --key-file folder
update --all --key-file rubbish
node --handler nope
node --handler os:getcwd --broker mqtts://localhost --ca /nope
node --handler os:getcwd --namespace a//b
"""


@pytest.mark.parametrize("line", ODD.strip().splitlines())
def test_odd_input_ends_with_a_sentence(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCOMPUTE_PASSWORD", "x")
    words = line.split()
    program = production if words[0] in ("map", "submit", "update", "node") else app
    result = invoke(*words, program=program)
    assert result.exit_code in (1, 2, 3)
    assert result.stderr.strip()
