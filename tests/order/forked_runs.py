"""A process that has imported Prefect and a flow once, and forks one child for each run: a run costs 0.2 s, not 2.

Run as a program it takes one job a line on standard input and answers with one line; `Forked` is its other end. A job
may ask for the child to be killed (SIGKILL, by itself) at its n-th write to the store, before or after that is
committed: so a test can die at every point that a successor can tell apart. Or the store is gone from then on.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status (`KILLED`), its number of writes, and what the flow gave or raised."""

    status: int
    writes: int
    ending: str = ""
    digest: str = ""
    verdict: str = ""
    error: str = ""
    reference: str = ""


class Forked:
    """The other end of the program."""

    def __init__(self, entrypoint: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, entrypoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, environment: Mapping[str, str], kill_at: int = 0, when: str = "", **parameters: str) -> Ended:
        """Run the flow in a new child with this environment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"environment": dict(environment), "parameters": parameters, "kill_at": kill_at, "when": when}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


def serve(entrypoint: str) -> None:
    """Fork and wait, one job after the other."""
    import importlib

    from tasks.without_prefect import without_prefect

    module, _, name = entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "forking a process with threads is not safe"
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with without_prefect():
                _in_child(flow, job, writer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            answer: dict[str, Any] = {}
            for word in said:
                answer |= json.loads(word)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"writes": 0, **answer, "status": os.waitstatus_to_exitcode(status)}), flush=True)


def _in_child(flow: Any, job: dict[str, Any], writer: int) -> None:
    from runbooks.consent import Door, Origin
    from runbooks.errors import RunbookError
    from store.doors import entered

    os.environ.update(job["environment"])
    entered.set(Origin(os.urandom(16).hex(), Door.BREAK_GLASS, "tester", "a test"))
    writes = _count_writes(job["kill_at"], job["when"])
    try:
        report = flow.fn(**job["parameters"])
        said = {"ending": str(report.ending), "digest": report.plan.digest, "verdict": report.verdict}
    except RunbookError as error:
        said = {"error": str(error), "reference": error.reference}
    except BaseException:  # noqa: BLE001  # the test reads it
        said = {"error": traceback.format_exc(), "reference": "traceback"}
    os.write(writer, json.dumps({**said, "writes": writes[0]}).encode())


def _count_writes(kill_at: int, when: str) -> list[int]:
    from runbooks.errors import StoreUnusable
    from store.database import Database

    count, write = [0], Database.write

    @contextmanager
    def counted(db: Database) -> Iterator[Any]:
        count[0] += 1
        mine = count[0] == kill_at
        if when == "lost" and count[0] >= kill_at:
            raise StoreUnusable("store-full", "the store is full", hint="free some space")
        with write(db) as conn:
            yield conn
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if mine and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    Database.write = counted  # type: ignore[method-assign]
    return count


if __name__ == "__main__":
    serve(sys.argv[1])
