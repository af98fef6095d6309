"""The small measures of `make bench`: how soon the command line answers, what the store and the outbox cost."""

import itertools
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from channels.credentials import Credentials
from channels.deliver import deliver
from lab.receivers import Receivers
from lab.server import LabBroken
from runbooks.consent import Door, Origin, Policy
from runbooks.plan import Consent, Plan
from runbooks.report import Ending, Line, Outcome, StepState
from store import approvals, outbox, steps, targets
from store.database import Database
from store.settings import Settings

TARGET = "vault/bench"
_ALONE = Policy(requester_may_approve=True, typed_digest_counts=True)


@dataclass(frozen=True, slots=True)
class Nothing:
    """A step that changes nothing, so that only the journal is measured."""

    number: int

    @property
    def undo(self) -> str:
        """There is nothing to take back."""
        return "do nothing"

    def __str__(self) -> str:
        return f"do nothing, the {self.number}. time"


def start_s(*words: str) -> float:
    """How long `runbook` with these words takes from nothing to its end, seconds."""
    began = time.monotonic()
    command = (str(Path(sys.executable).with_name("runbook")), *words)
    done = subprocess.run(command, capture_output=True, env={"PATH": os.environ["PATH"]}, check=False)
    took = time.monotonic() - began
    if done.returncode:
        raise LabBroken("lab-command-failed", f"{' '.join(words)} ended with {done.returncode}", hint="try it by hand")
    return took


def turn_s(db: Database) -> float:
    """How long it takes to hold a target and to give it back, seconds."""
    began = time.monotonic()
    with targets.hold(db, target=TARGET, runbook="bench", origin=_origin(), stale_s=30):
        pass
    return time.monotonic() - began


def step_s(db: Database, times: int) -> list[float]:
    """How long the journal takes for each of `times` steps, in seconds: what is intended, and that it was done."""
    plan = Plan("bench", TARGET, "bench", "bench", (), tuple(Nothing(number) for number in range(times)), "bench")
    taken = []
    with targets.hold(db, target=TARGET, runbook="bench", origin=_origin(), stale_s=30) as turn:
        consent = _consent(db, plan, turn)
        for step in plan.steps:
            began = time.monotonic()
            with steps.carry_out(db, consent, step):
                pass
            taken.append(time.monotonic() - began)
    return taken


@dataclass(frozen=True)
class Sent:
    """A delivery: letters that arrived, and the seconds from its start until the last of them had."""

    letters: int
    seconds: float


def outbox_of(folder: Path, receivers: Receivers, outcomes: int, *, hanging: str = "", deadline_s: float = 300) -> Sent:
    """Send so many outcomes by all four channels from a store of their own; the channel `hanging` never answers.

    With one that hangs only the other three are counted.
    """
    receivers.clear()
    settings = Settings(telegram_api=receivers.address, send_timeout_s=1)
    credentials = Credentials.of(receivers.credentials())
    db = Database.open(f"sqlite:///{folder / f'outbox-{uuid.uuid4().hex}.db'}")
    try:
        with db.write() as conn:
            for _ in range(outcomes):
                outbox.enqueue(conn, _outcome(), dedup=uuid.uuid4().hex)
        if hanging:
            receivers.fault(hanging, "hang", times=1_000_000)
        began = time.time()
        deliver(db, settings, deadline_s=deadline_s, credentials=credentials)
        arrived = [one["at"] for one in receivers.arrived() if one["channel"] != hanging]
    finally:
        receivers.clear()
        db.close()
    expected = outcomes * (len(outbox.CHANNELS) - bool(hanging))
    if len(arrived) != expected:
        raise LabBroken("lab-not-told", f"{len(arrived)} of {expected} letters arrived", hint="mend that first")
    return Sent(len(arrived), max(arrived) - began)


def _origin() -> Origin:
    return Origin(uuid.uuid4().hex, Door.BREAK_GLASS, "bench")


def _consent(db: Database, plan: Plan[Nothing], turn: targets.Turn) -> Consent[Nothing]:
    with db.write() as conn:
        approvals.show(conn, plan.sheet(), turn.origin)
    ballot = approvals.ballot(db, _ALONE, plan.sheet(), plan.digest)
    consent = plan.consent(ballot, run=turn.run, fence=turn.fence)
    assert consent is not None
    return consent


_numbers = itertools.count(1)


def _outcome() -> Outcome:
    node = f"vault-{next(_numbers)}"
    line = Line(f"give {node} 3 of the 5 kept shares", StepState.APPLIED, "unsealed", "bao operator seal")
    return Outcome(
        runbook="unseal-vault",
        target=TARGET,
        ending=Ending.DONE,
        finding="sealed",
        summary=f"usable, the probe secret was read: {node} is active, 2 standby",
        lines=tuple(replace(line, step=f"{line.step}, {number}") for number in range(3)),
        safe="yes: every step was carried out and verified",
        next="nothing",
        page="runbooks/sealed_vault.md#sealed",
        digest="0123456789ab",
        agreed=("bench",),
        origin=_origin(),
        at=time.time(),
    )
