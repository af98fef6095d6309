"""A story is a list of claims, each looked up where it must be true."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One claim: when it was looked up (seconds since the start), whether it is true, and what was seen."""

    at_s: float
    what: str
    true: bool
    seen: str


class Story:
    """The lines so far, printed as they come."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._began = time.monotonic()

    def claim(self, what: str, look: Callable[[], tuple[bool, str]]) -> None:
        """Look whether `what` is true. A look that breaks is a claim that is not true."""
        try:
            true, seen = look()
        except Exception as error:  # noqa: BLE001  # whatever it is, it makes the claim untrue and has to be shown
            true, seen = False, f"{type(error).__name__}: {error}"
        line = Line(round(time.monotonic() - self._began, 1), what, true, seen)
        self.lines.append(line)
        print(f"{line.at_s:6.1f} s  {'yes' if true else 'NO '}  {what}: {seen}", flush=True)

    @property
    def good(self) -> bool:
        """Whether every line is true."""
        return all(line.true for line in self.lines)
