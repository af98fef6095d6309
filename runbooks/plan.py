"""The plan: a value that is shown, approved by its digest, and carried out unchanged or not at all."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from runbooks.errors import BadRequest, Refused
from runbooks.exhibit import Exhibit

if TYPE_CHECKING:
    from runbooks.consent import Ballot

MOST_STEPS = 50
"""No plan may have more steps: a longer one is a mistake in the thinking, not a repair."""

DIGEST_DIGITS = 12


class Step(Protocol):
    """One change to one thing: a frozen dataclass. `str(step)` is what the approver reads and the task run's name."""

    @property
    def undo(self) -> str:
        """How a person takes this step back by hand, in one line; empty when it cannot be taken back."""


S = TypeVar("S", bound=Step, covariant=True)


@dataclass(frozen=True, slots=True)
class PlanSheet:
    """A plan written down: text only, so that it can be stored, sent, and compared with a later one."""

    runbook: str
    target: str
    finding: str
    because: str
    basis: tuple[str, ...]
    steps: tuple[str, ...]
    undo: tuple[str, ...]
    exactly: tuple[str, ...]
    code: str
    digest: str
    exhibits: tuple[Exhibit, ...] = ()

    @property
    def found(self) -> str:
        """What is wrong, in one line: the word for it, and what was seen."""
        return f"{self.finding}: {self.because}"

    def document(self) -> dict[str, Any]:
        """The sheet as plain JSON data; `PlanSheet.read` is its inverse."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "PlanSheet":
        """The sheet from what `document` gave, lists made tuples again."""
        data: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**{**data, "exhibits": tuple(map(Exhibit.read, document.get("exhibits", ())))})

    def lines(self) -> tuple[str, ...]:
        """What the digest covers, as people read it, a line each."""
        head = (f"runbook: {self.runbook}", f"target: {self.target}", f"finding: {self.finding}")
        steps = tuple(f"step {number}: {step}" for number, step in enumerate(self.steps, 1))
        return (*head, *(f"fact: {fact}" for fact in self.basis), *steps, f"code: {self.code}")

    def more_lines(self) -> tuple[str, ...]:
        """What the digest covers beyond `lines`: each step with all its fields, and how it is undone."""
        pairs = zip(self.exactly, self.undo, strict=True)
        return tuple(f"step {number} exactly: {exact}, undo: {undo}" for number, (exact, undo) in enumerate(pairs, 1))

    @property
    def reversible(self) -> bool:
        """Whether a person could take back every step."""
        return all(self.undo)

    def __str__(self) -> str:
        steps = [f"  {number}. {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([f"{self.target}: {self.found}", *(steps or ["  nothing to do"])])


def difference(shown: PlanSheet, now: PlanSheet) -> tuple[str, ...]:
    """What left (`- …`) and what came (`+ …`) between the plan that was shown and the plan of now."""
    return _changes(shown.lines(), now.lines()) or _changes(shown.more_lines(), now.more_lines())


def _changes(shown: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    lines = difflib.unified_diff(shown, now, n=0, lineterm="")
    return tuple(f"{line[0]} {line[1:]}" for line in lines if line[:2] not in ("--", "++", "@@"))


@dataclass(frozen=True, slots=True)
class Plan(Generic[S]):
    """What would be done to one target, and why.

    `basis` holds the facts that the plan rests on, a line each. What moves by itself (the clock, a counter) stays
    out, or no plan could ever be approved. `exhibits` is what else people should see. `code` names the version of the
    code that made the plan and would carry it out.
    """

    runbook: str
    target: str
    finding: str
    because: str
    basis: tuple[str, ...]
    steps: tuple[S, ...]
    code: str
    exhibits: tuple[Exhibit, ...] = ()

    def __post_init__(self) -> None:
        said = [str(step) for step in self.steps]
        if len(said) > MOST_STEPS or len(set(said)) < len(said) or not all(map(str.isprintable, said)):
            raise Refused(
                "plan-unsound",
                f"the plan for {self.target} has {len(said)} steps, or two that read the same, or one not on one line",
                hint="this is a mistake in the runbook's thinking: mend it there, and do the work by hand meanwhile",
            )

    @property
    def digest(self) -> str:
        """Twelve hex digits that name exactly this plan. To approve it is to repeat them."""
        return self.sheet().digest

    def sheet(self) -> PlanSheet:
        """This plan as text."""
        said = tuple(map(str, self.steps))
        # repr() of a frozen dataclass names every field, also those that its sentence leaves out
        exactly = tuple(map(repr, self.steps))
        undo = tuple(step.undo for step in self.steps)
        covered = [self.runbook, self.target, self.finding, self.basis, said, exactly, undo, self.code]
        digest = hashlib.sha256(json.dumps(covered).encode()).hexdigest()[:DIGEST_DIGITS]
        return PlanSheet(
            runbook=self.runbook,
            target=self.target,
            finding=self.finding,
            because=self.because,
            basis=self.basis,
            steps=said,
            undo=undo,
            exactly=exactly,
            code=self.code,
            digest=digest,
            exhibits=self.exhibits,
        )

    def consent(self, ballot: "Ballot", *, run: str, fence: int) -> "Consent[S] | None":
        """The consent to carry this plan out, or None while there is nothing to do or nobody was asked to agree.

        `run` and `fence` bind the consent to the run that holds the target.

        Raises: NotApproved (the votes do not suffice, expired, or one of them is a refusal), PlanDrifted (the votes are
        for another plan), BadRequest (the digest names no plan of this target).
        """
        sheet = self.sheet()
        agreed = ballot.agreed(sheet) if self.steps else None
        return None if agreed is None else Consent(self, agreed, run, fence)

    def __str__(self) -> str:
        return str(self.sheet())


@dataclass(frozen=True, slots=True)
class Consent(Generic[S]):
    """Proof that a plan was agreed to, for one run that holds the target. Only `Plan.consent` makes one.

    `fence` is the number of the run's turn on the target: whoever acts checks that it is still the newest.
    """

    plan: Plan[S]
    agreed: tuple[str, ...]
    run: str
    fence: int

    def covers(self, step: Step) -> bool:
        """Whether `step` belongs to the plan that was agreed to; every `apply` asserts it."""
        return step in self.plan.steps


def read_digest(typed: str) -> str:
    """The digest that a person typed or pasted: blanks and case forgiven, nothing else.

    Raises: BadRequest `digest-malformed`.
    """
    digest = "".join(typed.split()).lower()
    if not re.fullmatch(rf"[0-9a-f]{{{DIGEST_DIGITS}}}", digest):
        raise BadRequest(
            "digest-malformed",
            f"{typed[:40]!r} is not a plan's digest, which has {DIGEST_DIGITS} digits from 0-9 and a-f",
            hint="copy the digest from the plan that you read; `runbook status` lists the open ones",
        )
    return digest
