"""Carrying out one step so that whoever comes later knows: it was intended, and was applied, or failed, or neither."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

from runbooks.errors import NotApproved, RunbookError, StoreUnusable
from runbooks.plan import Consent, Step
from runbooks.report import Applied
from store import journal, targets
from store.database import Database
from store.trail import trail


class Record:
    """What is written down about one step while it is carried out; `note` and `undo` are told to people."""

    def __init__(self, db: Database, consent: Consent[Step], step: Step) -> None:
        """Writes nothing; `carry_out` does."""
        self._db, self._consent, self._step = db, consent, step
        self.note = self.undo = ""
        self.run = consent.run

    def remark(self, name: str, value: str) -> None:
        """Write down, for good and at once, what a successor needs if this process dies now. Never a secret."""
        with self._db.write() as conn:
            _append(conn, self._consent, "remarked", step=str(self._step), name=name, value=value)

    def applied(self) -> Applied:
        """What was carried out, to report."""
        return Applied(str(self._step), self.note, self.undo)

    def check(self) -> None:
        """Prove, right before something outside is changed, that the turn is still ours.

        Raises: StepFailed `turn-lost`, StoreUnusable.
        """
        with self._db.write() as conn:
            targets.prove(conn, self._consent.plan.target, self._consent.fence)


@contextmanager
def carry_out(db: Database, consent: Consent[Step], step: Step) -> Iterator[Record]:
    """Journal what the body does: `intended` before, then `applied` with the note, or `failed` when it raises.

    After `kill -9` there is neither, and that is how the next run knows where this one died.

    Raises: StepFailed `turn-lost` before the body when a newer turn was given, StoreUnusable.
    """
    if not consent.covers(step):  # no assert: `python -O` must not be able to leave this out
        raise NotApproved(
            "step-not-approved", f"nobody agreed to: {step}", hint="this is a mistake in the code; nothing was done"
        )
    with db.write() as conn:
        targets.prove(conn, consent.plan.target, consent.fence)
        _append(conn, consent, "intended", step=str(step))
    record = Record(db, consent, step)
    try:
        yield record
    except BaseException as error:
        with suppress(StoreUnusable), db.write() as conn:  # what stopped the step matters more
            _append(conn, consent, "failed", step=str(step), **_cause(error))
        raise
    with db.write() as conn:
        _append(conn, consent, "applied", step=str(step), note=record.note, undo=record.undo)


def applied_in(db: Database, run: str) -> dict[str, Applied]:
    """The steps that `run` carried out, by sentence, in order."""
    with db.read() as conn:
        return trail(conn, run).applied


def begun_in(db: Database, run: str) -> str:
    """The step that `run` began and did not finish, so that only looking again tells what it changed; else empty.

    A step that failed belongs here, too, unless its error says that nothing was changed.
    """
    with db.read() as conn:
        return trail(conn, run).begun


def verified(conn: Connection, consent: Consent[Step], verdict: str) -> None:
    """Journal that the target was looked at again and found as promised."""
    _append(conn, consent, "verified", verdict=verdict)


def _cause(error: BaseException) -> dict[str, str | bool]:
    if not isinstance(error, RunbookError):
        return {"reference": type(error).__name__, "nothing_changed": False}
    # an answer that did not come may be the answer to a change that was made
    return {"reference": error.reference, "nothing_changed": error.nothing_changed and not error.retryable}


def _append(conn: Connection, consent: Consent[Step], event: str, **data: str | bool) -> None:
    journal.append(conn, event=event, run=consent.run, target=consent.plan.target, fence=consent.fence, data=data)
