"""Processes that fight for one target, and are killed and frozen in the middle of it."""

import os
import random
import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import store_cases as cases
from sqlalchemy import select
from store_cases import Start, eventually

from runbooks.errors import TargetHeld
from store import journal
from store.database import Database
from store.schema import JOURNAL, TARGETS
from store.targets import Turn, hold

FIGHTERS, SURVIVORS, TURNS = 5, 2, 5


def entries(diary: Path) -> list[tuple[str, int, int]]:
    """What happened, by whom, in which turn: `enter` and `leave` by the fighters, `kill` by the test."""
    lines = (line.split() for line in diary.read_text().splitlines())
    return [(what, int(pid), int(fence)) for what, pid, fence in lines]


def test_never_two_inside_and_never_stuck(db: Database, url: str, start: Start, tmp_path: Path) -> None:
    diary, luck = tmp_path / "diary", random.Random()
    diary.touch()
    fighters = [start("fight", url, str(diary)) for _ in range(FIGHTERS)]
    assert [fighter.hear() for fighter in fighters] == ["fighting"] * FIGHTERS
    while len(fighters) >= SURVIVORS:
        before = len(entries(diary))
        eventually(lambda: len(entries(diary)) >= before + 2 * TURNS)  # noqa: B023  # whoever is left goes on
        time.sleep(luck.random() * 0.02)  # anywhere within a turn
        victim = fighters.pop(luck.randrange(len(fighters)))
        assert victim.poll() is None, "it gave up by itself"
        with diary.open("a") as pages:
            pages.write(f"kill {victim.pid} 0\n")
        victim.kill()
        victim.wait()
    fighters[0].kill()
    fighters[0].wait()

    inside, killed, last = None, set(), 0
    for what, pid, fence in entries(diary):
        match what:
            case "kill":
                killed.add(pid)
            case "enter":
                assert inside is None or inside[0] in killed, f"{pid} entered while {inside} was inside"
                assert fence > last
                inside, last = (pid, fence), fence
            case _:
                assert inside == (pid, fence), f"{pid} left while {inside} was inside"
                inside = None
    assert len(killed) == FIGHTERS - 1
    assert journal.verify(db).faults == ()


def test_who_was_frozen_learns_that_the_turn_is_over(db: Database, url: str, start: Start) -> None:
    stale_s = 0.6
    child = start("check", url, str(stale_s))
    assert child.hear() == "holding 1"
    child.tell("check")
    assert child.hear() == "mine"

    def beat() -> float:
        with db.read() as conn:
            return float(conn.execute(select(TARGETS.c.heartbeat_at)).scalar_one())

    last = beat()
    eventually(lambda: beat() != last)  # it has just written, so it is not frozen with the store in its hands
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(TargetHeld):
        hold_it(db, stale_s).__enter__()
    said = set()

    def over() -> bool:
        try:
            with hold_it(db, stale_s) as turn:
                assert turn.fence == 2
                os.kill(child.pid, signal.SIGCONT)
                child.tell("check")
                assert child.hear() == "turn-lost"
                turn.check()
        except TargetHeld as error:
            said.add("silent" in error.message)
            return False
        return True

    eventually(over)
    assert True in said, "before it counted as dead, people were told when it would"
    child.tell("check")
    assert child.hear() == "turn-lost"
    with db.read() as conn:
        events = conn.execute(select(JOURNAL.c.event).order_by(JOURNAL.c.seq)).scalars().all()
    assert events == ["took", "took-over", "released"]


def hold_it(db: Database, stale_s: float) -> AbstractContextManager[Turn]:
    return hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin("run-2"), stale_s=stale_s)
