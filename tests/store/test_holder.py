"""Whether a process is dead is said only where it can be proved."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from store_cases import eventually

from store.holder import Process

GONE = 2**22 + 1  # above the largest pid that Linux gives, proc_sys_kernel(5)

CASES: dict[str, tuple[Callable[[Process], Process], bool]] = {
    "it is the one that asks": (lambda me: me, False),
    "its pid is free": (lambda me: replace(me, pid=GONE), True),
    "its pid was given again": (lambda me: replace(me, ticks=me.ticks - 1), True),
    "its pid was given again, to somebody else's process": (lambda me: replace(me, pid=1, ticks=me.ticks + 1), True),
    "it was on another host": (lambda me: replace(me, host="elsewhere", pid=GONE), False),
    "it was before a reboot, or on a host with the same name": (lambda me: replace(me, boot="other", pid=GONE), False),
    "it was in another container": (lambda me: replace(me, pid_namespace=1, pid=GONE), False),
}


@pytest.mark.parametrize("case", CASES)
def test_dead_is_said_only_with_proof(case: str) -> None:
    change, dead = CASES[case]
    assert change(Process.this()).surely_dead() is dead


def test_without_the_kernels_word_nothing_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.holder._where", lambda: ("", 0))
    assert not replace(Process.this(), pid=GONE).surely_dead()


def test_hidden_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc mounted with hidepid shows nothing of other people's processes."""
    parent = replace(Process.this(), pid=1)
    monkeypatch.setattr("store.holder._state_and_ticks", lambda _pid: ("", 0))
    assert not parent.surely_dead()


def test_a_killed_process_is_dead_before_anybody_collects_it() -> None:
    word = "import sys; from store.holder import Process; print(Process.this().written(), flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", word], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    process = Process.read(child.stdout.readline())
    assert process.pid == child.pid
    assert not process.surely_dead()
    child.kill()
    eventually(process.surely_dead)  # it stays uncollected until here
    child.communicate()
    assert child.returncode == -9
