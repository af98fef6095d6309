"""The frame of every run: hold the target, ask for consent, and tell how it ended, whatever happens in between."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from channels.deliver import deliver, tell_now
from runbooks import catalogue
from runbooks.catalogue import Runbook
from runbooks.consent import Door, Policy
from runbooks.errors import BadRequest, PlanDrifted, RunbookError, StepFailed, StoreUnusable, TargetHeld
from runbooks.exhibit import Exhibit
from runbooks.plan import Consent, Plan, PlanSheet, Step, read_digest
from runbooks.report import Applied, Ending, Outcome, Report, outcome_of, outcome_of_error
from store import approvals, outbox, steps, targets
from store.database import Database, database
from store.doors import looking_only
from store.settings import settings
from tasks import run_log, run_page
from tasks.follow import have_planned

S = TypeVar("S", bound=Step)

run_log.set_up()

TELL_S = 15
"""Longest time that a run spends on sending its outcome, seconds; what is left then is sent by `runbook deliver`."""

_TARGET = re.compile(r"[a-z][a-z-]*/[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Turn:
    """One run's turn on its target, as a flow sees it."""

    def __init__(self, book: Runbook, held: targets.Turn) -> None:
        self._book, self._held = book, held
        self._db: Database = held.db
        self._plan: PlanSheet | None = None
        self._agreed: tuple[str, ...] = ()
        self._consent: Consent[Step] | None = None
        self._told = False

    @property
    def run(self) -> str:
        """What the run is called by: in the journal, and in the names of what it makes for a while."""
        return self._held.run

    @property
    def interrupted(self) -> targets.Interrupted | None:
        """What an earlier run left half-done on this target; None when nothing was."""
        return self._held.interrupted

    def consent(self, plan: Plan[S], approve: str) -> Consent[S] | None:
        """The consent to carry out `plan`; None when it is only shown now, or when there is nothing to do.

        Raises: NotApproved, PlanDrifted, BadRequest. A plan that drifted is shown as well, so that it can be approved.
        """
        sheet = self._plan = plan.sheet()
        digest = read_digest(approve) if approve.strip() else None
        policy = settings().policy(self._book)
        if looking_only.get():
            policy = replace(policy, standing=False)
        ballot = approvals.ballot(self._db, policy, sheet, digest)
        try:
            consent = plan.consent(ballot, run=self._held.run, fence=self._held.fence)
        except PlanDrifted:
            self._show(sheet, policy)
            raise
        if consent is None and plan.steps:
            self._show(sheet, policy)
        self._agreed, self._consent = (consent.agreed, consent) if consent else ((), None)
        return consent

    def tell(self, report: Report[S]) -> Report[S]:
        """Record how the run ended, give the target back, and send word. Returns `report`."""
        if self._consent is not None:
            with self._db.write() as conn:
                steps.verified(conn, self._consent, report.verdict)
        with self._db.read() as conn:
            now = self._db.now(conn)
        outcome = outcome_of(report, self._agreed, self._held.origin, self._book, now, before=self._before())
        if outcome.ending is Ending.AWAITS_APPROVAL:
            outcome = replace(outcome, form=run_page.form(report.plan.sheet(), settings().policy(self._book)))
        self._record(outcome)
        return report

    def stopped(self, error: RunbookError) -> None:
        """Record that the run was stopped by `error`, give the target back, and send word.

        Where the store cannot be used any more, word is sent past it. A mistake in what was asked for concerns only who
        asked, unless the work had begun.
        """
        if self._told or (isinstance(error, BadRequest) and self._consent is None):
            return
        try:
            if isinstance(error, StoreUnusable):
                raise error
            with self._db.read() as conn:
                now = self._db.now(conn)
            run = self._held.run
            applied, begun = steps.applied_in(self._db, run), steps.begun_in(self._db, run)
            self._record(self._outcome_of(error, now, applied, begun), error.exhibits)
        except StoreUnusable as lost:
            self._past_the_store(error, lost)

    def _past_the_store(self, error: RunbookError, lost: StoreUnusable) -> None:
        if self._consent is None:  # without a consent there was no work
            return
        why = "" if error is lost else f", after the run was stopped by this: {error.message}"
        said = StepFailed(
            "store-lost", f"the store was lost in the middle of the work: {lost.message}{why}", hint=lost.hint
        )
        outcome = self._outcome_of(said, time.time(), {}, "")
        tell_now(settings(), outcome, key=self._once(), deadline_s=TELL_S)

    def _outcome_of(self, error: RunbookError, now: float, applied: Mapping[str, Applied], begun: str) -> Outcome:
        return outcome_of_error(
            error,
            self._held.origin,
            book=self._book,
            target=self._held.target,
            now=now,
            plan=self._plan,
            applied=applied,
            begun=begun,
            agreed=self._agreed,
            before=self._before(),
        )

    def _once(self) -> str:
        """What this turn's one outcome is known by; a run that Prefect starts again has another turn."""
        return f"{self._held.run}:{self._held.fence}"

    def _show(self, sheet: PlanSheet, policy: Policy) -> None:
        with self._db.write() as conn:
            approvals.show(conn, sheet, self._held.origin, valid_s=policy.valid_s)
        run_page.show_plan(sheet, policy)

    def _before(self) -> str:
        left = self.interrupted
        if left is None:
            return ""
        where = f"in: {left.step}" if left.step else "half-way"
        return f"before this, run {left.run[:8]} of {left.runbook} stopped {where}"

    def _record(self, outcome: Outcome, exhibits: tuple[Exhibit, ...] = ()) -> None:
        spent = outcome.digest if self._agreed else ""
        scheduled = outcome.origin.door is Door.SCHEDULE
        quiet = scheduled and outcome.ending is Ending.NOTHING_TO_DO and self.interrupted is None
        if outcome.ending is Ending.AWAITS_APPROVAL or (scheduled and outcome.ending is Ending.REFUSED):
            # what people have just heard, and nothing else since, they need not hear again
            quiet = outbox.repeats(self._db, outcome, within_s=settings().policy(self._book).valid_s)
        outbox.record(self._db, self._held, outcome, dedup=self._once(), spend=spent, silent=quiet)
        self._told = True  # not before: an ending that the store did not take is told past it
        deliver(self._db, settings(), run=self._held.run, deadline_s=TELL_S)
        run_page.show_outcome(outcome, exhibits)


@contextmanager
def hold(name: str, target: str, reason: str = "") -> Iterator[Turn]:
    """Hold `target` for a run of the runbook `name`, and tell its ending, good or bad.

    Raises: BadRequest, TargetHeld, StoreUnusable, and what the run raises. A mistake in what was asked for, and a
    target that somebody else holds, are answered to whoever asked and to nobody else.
    """
    try:
        with _held(catalogue.runbook(name), target, reason) as turn:
            yield turn
    except RunbookError as error:
        if isinstance(error, BadRequest | TargetHeld | StoreUnusable):
            run_page.show_stop(error, catalogue.runbook(name).explained_at(error.reference))
        if error.then:  # only now: the target is free for whoever makes that plan
            have_planned(*error.then, run_page.origin(reason), f"{name} failed: {error.message}")
        raise


@contextmanager
def _held(book: Runbook, target: str, reason: str) -> Iterator[Turn]:
    if not _TARGET.fullmatch(target):
        raise BadRequest(
            "target-malformed",
            f"{target[:60]!r} names no target of {book.name}",
            hint="name one target; nothing is never taken to mean everything",
        )
    origin, patience_s = run_page.origin(reason), settings().heartbeat_stale_s
    with targets.hold(database(), target=target, runbook=book.name, origin=origin, stale_s=patience_s) as held:
        turn = Turn(book, held)
        try:
            yield turn
        except RunbookError as error:
            turn.stopped(error)
            raise
        except BaseException as error:  # also a cancellation, which Prefect raises as a BaseException
            turn.stopped(_unexpected(error))
            raise


def _unexpected(error: BaseException) -> RunbookError:
    return StepFailed(
        "unexpected-error",
        f"the run was ended by {type(error).__name__}",
        hint="look at the run's log; starting it again is safe, it looks first",
    )
