"""Small examples of everything that the store keeps, for the tests and for the processes that they start."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from runbooks.consent import Door, Origin, Policy
from runbooks.plan import Consent, Plan
from runbooks.report import Ending, Line, Outcome, StepState
from store import approvals
from store.database import Database
from store.targets import Turn


class Child(subprocess.Popen[str]):
    """A process of `store_child.py`, talked to in lines."""

    def hear(self) -> str:
        """The next line that it says; empty when it has ended."""
        assert self.stdout
        return self.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self.stdin
        self.stdin.write(line + "\n")
        self.stdin.flush()


def eventually(true: Callable[[], bool], within_s: float = 15) -> None:
    """Wait until `true` is."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


Start = Callable[..., Child]
"""The fixture `start`: what the child shall do, the URL of the store, and more words."""

TARGET = "vault/lab"
RUNBOOK = "turn-screws"
ALONE = Policy(requester_may_approve=True)


@dataclass(frozen=True, slots=True)
class TurnScrew:
    """Turn one screw."""

    name: str

    @property
    def undo(self) -> str:
        return f"turn screw {self.name} back"

    def __str__(self) -> str:
        return f"Turn screw {self.name}"


def origin(run: str = "run-1", person: str = "ann") -> Origin:
    return Origin(run, Door.SLACK, person, reason="it squeaks", name="brave-fox", link=f"http://ui/runs/{run}")


def plan(*screws: str, target: str = TARGET) -> Plan[TurnScrew]:
    steps = tuple(TurnScrew(name) for name in screws or ("a", "b"))
    basis = tuple(f"screw {step.name} is loose" for step in steps)
    return Plan(RUNBOOK, target, "loose", "screws are loose", basis, steps, "0.1.0+cafe")


def consent(db: Database, turn: Turn, chosen: Plan[TurnScrew] | None = None) -> Consent[TurnScrew]:
    """The consent of one person to a plan that was shown, the way every run gets it."""
    wanted = chosen or plan(target=turn.target)
    with db.write() as conn:
        approvals.show(conn, wanted.sheet(), turn.origin)
    approvals.vote(db, wanted.digest, "bob", Door.SLACK, agrees=True)
    given = wanted.consent(approvals.ballot(db, ALONE, wanted.sheet(), wanted.digest), run=turn.run, fence=turn.fence)
    assert given is not None
    return given


def outcome(run: str = "run-1", ending: Ending = Ending.DONE, target: str = TARGET) -> Outcome:
    return Outcome(
        runbook=RUNBOOK,
        target=target,
        ending=ending,
        finding="loose",
        summary="both screws are tight",
        lines=(Line("Turn screw a", StepState.APPLIED, "two turns"),),
        safe="yes",
        next="nothing",
        page="runbooks/turn_screws.md#loose",
        digest=plan().digest,
        agreed=("bob",),
        origin=origin(run),
        at=time.time(),
    )
