"""What can go wrong, said so that a tired reader knows what to do next. Imports nothing.

    RunbookError
    ├── BadRequest      what was asked for makes no sense here        nothing was changed
    ├── Refused         the facts do not allow a safe repair          nothing was changed
    ├── NotApproved     nobody with the right to has agreed           nothing was changed
    │   └── PlanDrifted   what was agreed to is not what is needed now
    ├── TargetHeld      another run works on the same target          nothing was changed
    ├── Unreachable     a system did not answer; asking again is safe
    ├── StoreUnusable   our own memory cannot be read or written
    ├── StepFailed      a step stopped half-way; look again
    └── NotVerified     all steps ran, yet the promise is not kept

The class says what was changed and whether trying again helps; the `reference` is a kebab-case word that is a heading
of a page, where the rest is told.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbooks.exhibit import Exhibit

_REFERENCE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class RunbookError(Exception):
    """Base of every error that a person may be woken by: what, about which value, and what to do next.

    `exhibits` is evidence for people beside it. `then` names a runbook, and what to ask it with, whose plan is made as
    soon as the run that met this has ended. `exit_code` is what the command line ends with; the codes are listed in
    the README and in `runbook --help`.
    """

    retryable = False
    nothing_changed = True
    exit_code = 1

    exhibits: "tuple[Exhibit, ...]" = ()
    then: tuple[str, Mapping[str, str]] | None = None

    def __init__(self, reference: str, message: str, *, hint: str, exhibits: "tuple[Exhibit, ...]" = ()) -> None:
        if exhibits:
            self.exhibits = exhibits
        assert _REFERENCE.fullmatch(reference), reference
        self.reference, self.message, self.hint = reference, " ".join(message.split()), " ".join(hint.split())
        super().__init__(f"{self.message} | next: {self.hint} | ref: {reference}")

    def __reduce__(self) -> tuple[object, ...]:
        # Prefect pickles exceptions; the default would call __init__ with the joined text alone.
        return (_rebuild, (type(self), self.reference, self.message, self.hint, dict(self.__dict__)))


def _rebuild(
    kind: type[RunbookError], reference: str, message: str, hint: str, state: dict[str, object]
) -> RunbookError:
    error = kind.__new__(kind)
    RunbookError.__init__(error, reference, message, hint=hint)
    error.__dict__.update(state)
    return error


class BadRequest(RunbookError):
    """What was asked for makes no sense here; nothing was changed."""

    exit_code = 2


class Refused(RunbookError):
    """The facts do not allow a safe automatic repair; nothing was changed."""

    exit_code = 3


class NotApproved(RunbookError):
    """Nobody who may has agreed to this plan, or the agreement no longer counts; nothing was changed."""

    exit_code = 4


class PlanDrifted(NotApproved):
    """The plan that was approved is not the plan that the facts call for now; nothing was changed.

    `difference` holds the lines that left (`- …`) and came (`+ …`).
    """

    def __init__(self, reference: str, message: str, *, hint: str, difference: tuple[str, ...] = ()) -> None:
        self.difference = difference
        super().__init__(reference, message, hint=hint)


class TargetHeld(RunbookError):
    """Another run is at work on the same target; nothing was changed."""

    exit_code = 5


class Unreachable(RunbookError):
    """A system did not answer. Asking again is safe."""

    retryable = True
    exit_code = 6


class StoreUnusable(RunbookError):
    """The store, which remembers locks and approvals, cannot be used; without it nothing is started."""

    exit_code = 8


class StepFailed(RunbookError):
    """A step was begun and did not end well. What it changed is found out by looking again."""

    nothing_changed = False
    exit_code = 7


class NotVerified(RunbookError):
    """Every step was carried out, yet the target is not in the promised state."""

    nothing_changed = False
    exit_code = 7
