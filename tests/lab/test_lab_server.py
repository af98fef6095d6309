"""The shape that every server of the lab has, shown with a server of ten lines."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from lab.ports import free_port
from lab.processes import processes_of
from lab.server import LabBroken, Server

SCRIPT = """
import os, signal, socket, subprocess, sys, time
port, children, stubborn = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "stubborn"
for _ in range(children):
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("SIGINT is", signal.getsignal(signal.SIGINT), flush=True)
listener = socket.create_server(("127.0.0.1", port))
while True:
    listener.accept()[0].close()
"""
OWNER = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
from test_lab_server import Toy
Toy(pathlib.Path(sys.argv[2]), children=1).start()
print("up", flush=True)
input()
"""


class Toy(Server):
    """Accepts connections; has children that want to outlive it; may refuse to end."""

    start_limit_s: ClassVar[float] = 5
    grace_s: ClassVar[float] = 0.2

    def __init__(self, folder: Path, *, children: int = 0, stubborn: bool = False) -> None:
        super().__init__(folder)
        self.children, self.stubborn = children, stubborn

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    def command(self) -> Sequence[str]:
        how = "stubborn" if self.stubborn else "willing"
        return [sys.executable, "-IS", "-c", SCRIPT, str(self.ports[0]), str(self.children), how]

    def answers(self) -> bool:
        socket.create_connection(("127.0.0.1", self.ports[0]), timeout=1).close()
        return True


def eventually(condition: Callable[[], bool], within_s: float = 5) -> bool:
    """Whether `condition` comes true."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_server_answers_until_it_is_stopped_and_again_on_the_same_port(tmp_path: Path) -> None:
    with Toy(tmp_path) as toy:
        port, first = toy.ports, toy.pid
        assert toy.running()
        toy.stop()
        toy.stop()
        assert not toy.running()
        assert toy.start().ports == port
        assert toy.pid != first
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize("end", [Toy.stop, Toy.kill])
@pytest.mark.parametrize("stubborn", [False, True])
def test_nothing_below_a_server_outlives_it(tmp_path: Path, end: Callable[[Toy], None], stubborn: bool) -> None:
    toy = Toy(tmp_path, children=2, stubborn=stubborn).start()
    assert len(processes_of(tmp_path)) == 4, "the keeper, the server, two children"
    end(toy)
    assert processes_of(tmp_path) == {}


def test_a_server_that_died_by_itself_is_seen_and_its_children_are_found(tmp_path: Path) -> None:
    toy = Toy(tmp_path, children=1).start()
    os.kill(toy.pid, signal.SIGKILL)
    assert eventually(lambda: not toy.running())
    assert any("sleep" in command for command in processes_of(tmp_path).values())
    toy.stop()
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_lab_that_started_it(tmp_path: Path, ended_by: signal.Signals) -> None:
    command = [sys.executable, "-c", OWNER, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        assert len(processes_of(tmp_path)) == 3
        owner.send_signal(ended_by)
        owner.wait()
    assert eventually(lambda: processes_of(tmp_path) == {})


def test_a_keeper_killed_takes_its_server_along(tmp_path: Path) -> None:
    toy = Toy(tmp_path).start()
    os.kill(next(pid for pid, command in processes_of(tmp_path).items() if "keeper.py" in command), signal.SIGKILL)
    assert eventually(lambda: processes_of(tmp_path) == {})
    assert not toy.running()
    toy.stop()


def test_signals_ignored_by_the_owner_are_not_ignored_by_the_server(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job of a shell
    try:
        with Toy(tmp_path) as toy:
            assert "default_int_handler" in toy.log_end()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_port_that_was_taken_meanwhile_is_changed_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        taken = thief.getsockname()[1]
        offers = iter([taken, free_port()])
        monkeypatch.setattr("lab.server.free_port", lambda: next(offers))
        toy = Toy(tmp_path)
        monkeypatch.setattr(toy, "answers", lambda: toy.ports[0] != taken and Toy.answers(toy))
        with toy:
            assert toy.ports[0] != taken


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo out of luck; exit 3"], ["ended before it answered", "out of luck"]),
        (["/no/such/program"], ["ended before it answered", "No such file"]),
        (["sleep", "100"], ["does not answer after 0 s"]),
    ],
)
def test_a_server_that_does_not_come_up_says_why_and_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], words: list[str]
) -> None:
    monkeypatch.setattr(Toy, "command", lambda _: command)
    monkeypatch.setattr(Toy, "start_limit_s", 0.3 if command[0] == "sleep" else 30)
    with pytest.raises(LabBroken) as broken:
        Toy(tmp_path).start()
    assert all(word in str(broken.value) for word in words)
    assert "toy.log" in broken.value.hint
    assert processes_of(tmp_path) == {}


def test_only_what_it_needs_of_our_environment_reaches_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "not-for-you")
    with Toy(tmp_path) as toy:
        assert b"not-for-you" not in Path(f"/proc/{toy.pid}/environ").read_bytes()
        with contextlib.suppress(FileNotFoundError):
            assert b"not-for-you" not in toy.log.read_bytes()
