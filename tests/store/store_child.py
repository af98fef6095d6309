"""A process of its own for tests that kill, freeze or starve one: `store_child.py WHAT URL ...`.

It says on its standard output how far it is, a line each, and does the next thing for every line that it is sent.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import store_cases as cases

from runbooks.errors import RunbookError, TargetHeld
from store import journal, outbox
from store.database import Database
from store.steps import carry_out
from store.targets import hold

NOBODY = 65534


def say(line: str) -> None:
    print(line, flush=True)


def die_in_a_step(url: str, run: str, screw: str) -> None:
    """Hold the target and wait inside a step (or, without a screw, between two) to be killed."""
    db = Database.open(url)
    with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(run), stale_s=30) as turn:
        if screw:
            agreed = cases.consent(db, turn, cases.plan(screw))
            with carry_out(db, agreed, agreed.plan.steps[0]) as record:
                record.remark(f"nonce-{screw}", run)
                say(f"inside {turn.fence}")
                sys.stdin.readline()
        say(f"between {turn.fence}")
        sys.stdin.readline()


def check_when_told(url: str, stale_s: str) -> None:
    """Hold the target; for every line prove the turn, and say how that went."""
    db = Database.open(url)
    with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(), stale_s=float(stale_s)) as turn:
        say(f"holding {turn.fence}")
        for _ in sys.stdin:
            try:
                turn.check()
                say("mine")
            except RunbookError as error:
                say(error.reference)


def fight(url: str, diary: str) -> None:
    """Hold the target again and again, and write into `diary` who was in there and when."""
    db, run = Database.open(url), f"run-{os.getpid()}"
    with Path(diary).open("ab", buffering=0) as pages:
        say("fighting")
        while True:
            with (
                suppress(TargetHeld),
                hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(run), stale_s=30) as turn,
            ):
                pages.write(f"enter {os.getpid()} {turn.fence}\n".encode())
                time.sleep(0.002)
                turn.check()
                pages.write(f"leave {os.getpid()} {turn.fence}\n".encode())
            time.sleep(0.002)


def tell_for_ever(url: str, first: str) -> None:
    """End one run after the other, each with all that belongs to it."""
    db = Database.open(url)
    for number in range(int(first), int(first) + 1_000_000):
        run = f"run-{number}"
        with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(run), stale_s=30) as turn:
            agreed = cases.consent(db, turn)
            outbox.record(db, turn, cases.outcome(run), dedup=run, spend=agreed.plan.digest)
        say(run)


def open_when_told(url: str) -> None:
    """Be ready, then open the store."""
    say("ready")
    sys.stdin.readline()
    with Database.open(url).write() as conn:
        journal.append(conn, event="opened", data={})
    say("opened")


def write_until_refused(url: str, limit: str, user: str) -> None:
    """Write as a user without privileges (if `user`), into files of at most `limit` bytes, and say what stopped it."""
    if user and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    rows = 0
    try:
        db = Database.open(url)
        while rows < 1_000:
            with db.write() as conn:
                journal.append(conn, event="filled", data={"much": "x" * 4_000})
            rows += 1
    except RunbookError as error:
        say(f"{rows} {error.reference} {error.message}")
    else:
        say(f"{rows} nothing")


WHAT: dict[str, Callable[..., None]] = {
    "die": die_in_a_step,
    "check": check_when_told,
    "fight": fight,
    "tell": tell_for_ever,
    "open": open_when_told,
    "write": write_until_refused,
}

if __name__ == "__main__":
    WHAT[sys.argv[1]](*sys.argv[2:])
