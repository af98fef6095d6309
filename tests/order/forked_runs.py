"""A process that has imported Prefect and a flow once, and forks one child for each run: a run costs 0.2 s, not 2.

Run as a program it takes one job a line on standard input and answers with one line; `Forked` is its other end. A job
may ask for the child to be killed (SIGKILL, by itself) at a point that a successor can tell apart, see `WHEN`; for the
store to be gone from a write on; or for the child to be held before a statement, while the test does something else.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

KILLED = -signal.SIGKILL

WHEN = {
    "before": "at the end of the n-th write to the store, which is then not committed",
    "after": "when the n-th write to the store is committed",
    "lost": "from the n-th write on the store is gone; nobody is killed",
    "looking": "when the n-th message to PostgreSQL is on its way and not yet answered",
    "sent": "the same, of those after somebody's consent was found",
    "answered": "when the n-th message to PostgreSQL after that was answered",
    "program": "when the n-th program was started",
}
"""What `when` may be, for the n that is `kill_at`."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status (`KILLED`), how often it wrote to the store, asked PostgreSQL before and after
    consent, and started a program, and what the flow gave or raised. `printed` is what it said on standard error.
    """

    status: int
    writes: int = 0
    looks: int = 0
    statements: int = 0
    programs: int = 0
    ending: str = ""
    digest: str = ""
    finding: str = ""
    because: str = ""
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: str = ""
    warning: str = ""
    error: str = ""
    reference: str = ""
    printed: str = ""

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Self:
        """From the program's answer."""
        known = {field.name for field in fields(cls)}
        assert set(answer) <= known, answer
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in answer.items()})


class Forked:
    """The other end of the program."""

    def __init__(self, entrypoint: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, entrypoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        environment: Mapping[str, str],
        kill_at: int = 0,
        when: str = "",
        changed: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Ended:
        """Run the flow in a new child with this environment; `changed` are values by dotted name that differ in it."""
        assert when in ("", *WHEN), when
        job = {"environment": dict(environment), "parameters": parameters, "kill_at": kill_at, "when": when}
        return Ended.read(self._ask({**job, "changed": dict(changed or {})}))

    def hold(
        self,
        environment: Mapping[str, str],
        before: str,
        *,
        looking: bool = False,
        changed: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> "Held":
        """Run the flow until it is about to send a statement with `before` in it, and leave it there, stopped.

        Only statements after somebody's consent count, unless it is to be held while it is `looking`.
        """
        job = {"environment": dict(environment), "parameters": parameters, "hold_before": before}
        answer = self._ask({**job, "looking": looking, "changed": dict(changed or {})})
        assert "held" in answer, f"it ended and never came to {before!r}: {answer}"
        return Held(self, answer["held"])

    def go_on(self, pid: int) -> Ended:
        """Let a held child go on, to its end."""
        return Ended.read(self._ask({"go_on": pid}))

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


@dataclass(frozen=True)
class Held:
    """A run that is held: other runs may be started meanwhile. It must be let go."""

    forked: Forked
    pid: int

    def go_on(self) -> Ended:
        """Let it go on, to its end."""
        return self.forked.go_on(self.pid)


def serve(entrypoint: str) -> None:
    """Fork and wait, one job after the other."""
    from tests.order.forked_child import begin  # only the program needs what that imports

    start, answers = begin(entrypoint), dict[int, int]()
    for line in sys.stdin:
        job = json.loads(line)
        child = job.get("go_on", 0)
        if child:
            os.kill(child, signal.SIGCONT)
        else:
            # a file and no pipe: nobody reads before the child has ended, and a pipe would be full one day
            answer = os.memfd_create("answer")
            child = os.fork()
            if child == 0:
                start(job, answer)
                os._exit(0)
            answers[child] = answer
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            print(json.dumps({"held": child}), flush=True)
            continue
        with os.fdopen(answers.pop(child), "r+") as said:
            said.seek(0)
            text = said.read()
        print(json.dumps({**json.loads(text or "{}"), "status": os.waitstatus_to_exitcode(status)}), flush=True)
    for child in answers:  # a test failed while it held one
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    serve(sys.argv[1])
