"""Starting the program that holds the shares, and talking with it in lines of JSON that hold none."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import Any

from runbooks.errors import StepFailed
from tasks.shares.attempt import ANSWER_S, JOIN_S
from tasks.shares.sources import LONGEST_S

SILENT_S = JOIN_S + 3 * ANSWER_S + 24 * LONGEST_S
"""After how many seconds without a line the program is killed: a node that joins, and 24 shares whose openers hang."""


def shares_program(job: dict[str, Any]) -> "subprocess.Popen[str]":
    """The program at work on `job`; it dies with this process. See `tasks/shares/__main__.py` for the jobs."""
    program = subprocess.Popen(
        [sys.executable, "-I", "-m", "tasks.shares"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # whatever it might print of a share in a crash stays unread
        text=True,
    )
    tell(program, json.dumps({**job, "parent": os.getpid()}))
    return program


def tell(program: "subprocess.Popen[str]", line: str) -> None:
    """One line to the program."""
    assert program.stdin is not None
    try:
        program.stdin.write(line + "\n")
        program.stdin.flush()
    except BrokenPipeError:  # it died, as `answer_of` will say; what is left in the buffer must not be written again
        with contextlib.suppress(BrokenPipeError):
            program.stdin.close()


def answer_of(program: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line from the program. Raises: StepFailed `shares-program-died` (also after `SILENT_S`)."""
    assert program.stdout is not None
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        program.kill()

    late = threading.Timer(SILENT_S, kill)
    late.daemon = True
    late.start()
    try:
        line = program.stdout.readline()
    finally:
        late.cancel()
    if not line.endswith("\n"):
        how = f"gave no answer for {SILENT_S} s and was killed" if killed.is_set() else "ended without an answer"
        raise StepFailed(
            "shares-program-died",
            f"the program that holds the shares {how}",
            hint="start the run again; it looks at the node first",
        )
    answer: dict[str, Any] = json.loads(line)
    return answer
