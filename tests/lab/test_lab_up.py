"""`python -m lab`: as a person uses it, with two terminals."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import __main__ as lab
from lab.control import ask, is_served, serve
from lab.processes import processes_of
from lab.world import BREAKAGES, World
from runbooks.errors import BadRequest
from store.settings import load

ROOT = Path(__file__).parents[2]


def terminal(*words: str) -> subprocess.CompletedProcess[str]:
    """What a second terminal shows."""
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`lab up`, as soon as it says that it is up."""
    command = [sys.executable, "-m", "lab", "up", "--ui-port", "0", "--folder", str(tmp_path / "lab")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        for line in process.stdout:
            if "Ctrl-C stops everything" in line:
                break
        yield process
        process.kill()
    for _ in range(200):
        if not processes_of(tmp_path):
            break
        time.sleep(0.05)
    assert processes_of(tmp_path) == {}


@pytest.mark.long
def test_broken_from_a_second_terminal_and_gone_after_ctrl_c(up: subprocess.Popen[str], tmp_path: Path) -> None:
    folder = ("--folder", str(tmp_path / "lab"))
    status = terminal("status", *folder).stdout
    assert (status.count("active"), status.count("standby"), status.count("SEALED")) == (1, 2, 0)
    assert terminal("break", "vault", *folder).stdout.count("SEALED") == 3
    second = terminal("up", *folder)
    assert (second.returncode, "a lab is up in" in second.stderr) == (2, True)
    settings = tmp_path / "lab" / "runbook.env"
    assert oct(settings.stat().st_mode & 0o777) == "0o600"
    read = load(str(settings))
    assert (len(read.cluster("hoodcloud").nodes), read.cluster("hoodcloud").custody) == (3, "kept")
    assert read.ui_url in status
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert processes_of(tmp_path) == {}
    assert terminal("status", *folder).returncode == 2


@pytest.mark.long
def test_nothing_is_left_after_kill_9(up: subprocess.Popen[str], tmp_path: Path) -> None:
    assert len(processes_of(tmp_path)) > 10
    up.kill()


def test_a_folder_that_is_not_a_labs_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    done = terminal("up", "--folder", str(tmp_path))
    assert (done.returncode, "files that are not a lab's" in done.stderr) == (2, True)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_a_lab_one_is_told_how_to_start_it(tmp_path: Path) -> None:
    done = terminal("break", "vault", "--folder", str(tmp_path))
    assert (done.returncode, "lab up --folder" in done.stderr) == (2, True)


def test_while_it_starts_nothing_is_broken_and_nobody_else_starts(tmp_path: Path) -> None:
    world = World(tmp_path)
    with serve(tmp_path, lambda words: lab.answer(world, words, threading.Lock())):
        assert is_served(tmp_path)
        with pytest.raises(BadRequest, match="still starting"):
            ask(tmp_path, "break vault")
    assert not is_served(tmp_path)


def test_the_control_socket_is_its_owners_and_works_however_deep_the_folder_is(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deep" * 10] * 5)
    folder.mkdir(parents=True)
    with serve(folder, str.upper):
        assert [ask(folder, "one"), ask(folder, "two")] == ["ONE", "TWO"]
        assert oct((folder / "control").stat().st_mode & 0o777) == "0o600"


def test_an_unknown_breakage_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="vault") as refused:
        World(tmp_path).break_("the bank")
    assert refused.value.reference == "unknown-breakage"
    assert "vault" in BREAKAGES
