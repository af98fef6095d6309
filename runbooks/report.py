"""How a run ended, told in the same words everywhere: to people by every channel, to the next run by the store."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from runbooks.catalogue import Runbook
from runbooks.consent import Door, Origin
from runbooks.errors import RunbookError
from runbooks.plan import Plan, PlanSheet, Step

S = TypeVar("S", bound=Step, covariant=True)


class Ending(StrEnum):
    """How a run ended."""

    NOTHING_TO_DO = "nothing to do"
    AWAITS_APPROVAL = "awaits approval"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Applied:
    """A step that was carried out; `note` says what a person would want to know of it.

    `undo` is the way back if only carrying it out could tell it (where a backup lies); else the step's own holds.
    """

    step: str
    note: str = ""
    undo: str = ""


@dataclass(frozen=True, slots=True)
class Report(Generic[S]):
    """What a run did: its plan, the steps that were carried out, and the verdict of looking again.

    Without a verdict nothing was carried out. `warning` names what is not right although the promise was kept.
    """

    plan: Plan[S]
    applied: tuple[Applied, ...] = ()
    verdict: str = ""
    warning: str = ""

    @property
    def ending(self) -> Ending:
        """How the run ended."""
        if self.verdict:
            return Ending.DONE
        return Ending.AWAITS_APPROVAL if self.plan.steps else Ending.NOTHING_TO_DO


class StepState(StrEnum):
    """What became of one step of a plan. *Begun* means that only looking again tells."""

    APPLIED = "applied"
    BEGUN = "begun"
    NOT_BEGUN = "not begun"


@dataclass(frozen=True, slots=True)
class Line:
    """One step as it is told: its sentence, what became of it, a note, and the way back."""

    step: str
    state: StepState
    note: str = ""
    undo: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One ending, ready to be told. Text and numbers only; the channels render it, each in its own way.

    `form` is where it can be approved: the run form, filled in; empty where there is none or that would not count.
    `found` is what was wrong when it looked first, `summary` how it ended; `finding` is the word for it. `at` is in
    seconds since 1970, UTC. `next` is the next safe thing to do. `page` is a path and heading inside the
    project. `head` is the first digits of the journal's last hash: whoever kept this message can prove the journal
    later.
    """

    runbook: str
    target: str
    ending: Ending
    finding: str
    summary: str
    lines: tuple[Line, ...]
    safe: str
    next: str
    page: str
    digest: str
    agreed: tuple[str, ...]
    origin: Origin
    at: float
    head: str = ""
    found: str = ""
    form: str = ""

    @property
    def title(self) -> str:
        """One line that fits a phone's lock screen."""
        return f"{self.runbook} on {self.target}: {self.ending}"

    def document(self) -> dict[str, Any]:
        """The outcome as plain JSON data; `Outcome.read` is its inverse."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Outcome":
        """The outcome from what `document` gave."""
        origin = document["origin"]
        parameters = tuple((name, value) for name, value in origin.get("parameters", ()))
        return cls(
            **{
                **document,
                "ending": Ending(document["ending"]),
                "lines": tuple(Line(**{**line, "state": StepState(line["state"])}) for line in document["lines"]),
                "agreed": tuple(document["agreed"]),
                "origin": Origin(**{**origin, "door": Door(origin["door"]), "parameters": parameters}),
            }
        )


def outcome_of(
    report: Report[Step], agreed: tuple[str, ...], origin: Origin, book: Runbook, now: float, *, before: str = ""
) -> Outcome:
    """The outcome of a run that came to its end. `before` says what an earlier run had left half-done here."""
    plan = report.plan.sheet()
    done = {applied.step: applied for applied in report.applied}
    nexts = {
        Ending.DONE: report.warning or "nothing; the target was looked at again and is as it should be",
        Ending.AWAITS_APPROVAL: f"read the plan; if it is what you want: {_approve_by(plan, origin)}",
        Ending.NOTHING_TO_DO: "nothing",
    }
    safes = {
        Ending.DONE: "yes: every step was carried out and verified",
        Ending.AWAITS_APPROVAL: "yes: nothing was changed",
        Ending.NOTHING_TO_DO: "yes: nothing was changed",
    }
    return Outcome(
        runbook=plan.runbook,
        target=plan.target,
        ending=report.ending,
        finding=plan.finding,
        summary=" · ".join(filter(None, (report.verdict or plan.found, report.warning, before))),
        lines=_lines(plan, done, ""),
        safe=safes[report.ending],
        next=nexts[report.ending],
        page=book.explained_at(plan.finding),
        digest=plan.digest,
        agreed=agreed,
        origin=origin,
        at=now,
        found=plan.found,
    )


def outcome_of_error(
    error: RunbookError,
    origin: Origin,
    *,
    book: Runbook,
    target: str,
    now: float,
    plan: PlanSheet | None = None,
    applied: Mapping[str, Applied] | None = None,
    begun: str = "",
    agreed: tuple[str, ...] = (),
    before: str = "",
) -> Outcome:
    """The outcome of a run that `error` stopped, after `applied` (by sentence) and, perhaps, inside `begun`."""
    changed = bool(applied or begun) or not error.nothing_changed
    done = "nothing was changed"
    if plan and (applied or begun):
        done = f"{len(applied or ())} of {len(plan.steps)} steps were carried out"
    elif changed:
        done = "what was changed is not known: look again"
    return Outcome(
        runbook=book.name,
        target=target,
        ending=Ending.FAILED if changed else Ending.REFUSED,
        finding=error.reference,
        summary=" · ".join(filter(None, (f"{error.message} ({done})", before))),
        lines=_lines(plan, applied or {}, begun) if plan else (),
        safe=_safe(plan, applied or {}, begun) if changed else "yes: nothing was changed",
        next=error.hint,
        page=book.explained_at(error.reference),
        digest=plan.digest if plan else "",
        agreed=agreed,
        origin=origin,
        at=now,
        found=plan.found if plan else "",
    )


def _approve_by(plan: PlanSheet, origin: Origin) -> str:
    if origin.door is Door.BREAK_GLASS:  # there may be no Prefect to start it through
        asked = "".join(f" --param {name}={value}" for name, value in origin.parameters)
        return f'runbook break-glass {plan.runbook}{asked} --approve {plan.digest} --reason "…"'
    return f"runbook approve {plan.digest}"


def _safe(plan: PlanSheet | None, applied: Mapping[str, Applied], begun: str) -> str:
    again = "starting it again looks first and does only what is left"
    if plan is None:
        return f"not known; {again}"
    touched = [undo for step, undo in zip(plan.steps, plan.undo, strict=True) if step in applied or step == begun]
    if not all(touched):
        return f"only as far as it is: a step that cannot be undone was begun; {again}"
    return f"yes: {again}"


def _lines(plan: PlanSheet, applied: Mapping[str, Applied], begun: str) -> tuple[Line, ...]:
    def state(step: str) -> StepState:
        if step in applied:
            return StepState.APPLIED
        return StepState.BEGUN if step == begun else StepState.NOT_BEGUN

    def line(step: str, undo: str) -> Line:
        done = applied.get(step) or Applied(step)
        return Line(step, state(step), done.note, done.undo or undo)

    return tuple(map(line, plan.steps, plan.undo))
