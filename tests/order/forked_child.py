"""The child's side of `forked_runs`: one run of a flow, that dies, stops, or loses its store where it was told to."""

import gc
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

import psycopg

from runbooks.catalogue import catalogue
from runbooks.consent import Door, Origin
from runbooks.errors import RunbookError, StoreUnusable
from store.database import Database
from store.doors import entered
from tasks.turn import Turn
from tasks.without_prefect import without_prefect

Job = dict[str, Any]


def begin(entrypoint: str) -> Callable[[Job, int], None]:
    """Import the flow; what a child does with its job, and with the handle of a file for its answer."""
    module, _, name = entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    for needed in ("boto3.s3.transfer", "sqlalchemy.dialects.sqlite"):  # or each child spends that time anew
        importlib.import_module(needed)
    catalogue()
    gc.collect()
    gc.freeze()  # or a child's first collection copies every page
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "forking a process with threads is not safe"
    return lambda job, answer: _in_child(flow, job, answer)


class Watch:
    """What a child has done so far. `at_work` is set when somebody's consent was found."""

    def __init__(self, job: Job) -> None:
        self.at, self.when = job.get("kill_at", 0), job.get("when", "")
        self.hold_before, self.held = job.get("hold_before", ""), False
        self.hold_looking = job.get("looking", False)
        self.count = {"writes": 0, "looks": 0, "statements": 0, "programs": 0}
        self.at_work = False

    def counted(self, what: str, when: str) -> bool:
        """One more; whether it is the one at which the child dies."""
        self.count[what] += 1
        return self.when in when.split() and self.count[what] == self.at


def _in_child(flow: Any, job: Job, answer: int) -> None:
    os.environ.update(job["environment"])
    _change(job.get("changed", {}))
    watch, said, printed = Watch(job), Job(), io.StringIO()
    entered.set(Origin(os.urandom(16).hex(), Door.BREAK_GLASS, "tester", "a test"))
    for look_after in (_consent, _writes, _statements, _texts, _programs):
        look_after(watch)
    try:
        with without_prefect(), redirect_stderr(printed):
            said = _told(flow.fn(**job["parameters"]))
    except RunbookError as error:
        said = {"error": str(error), "reference": error.reference}
    except BaseException:  # noqa: BLE001  # the test reads it
        said = {"error": traceback.format_exc(), "reference": "traceback"}
    sys.stderr.write(printed.getvalue())
    with os.fdopen(answer, "w") as file:
        json.dump({**said, **watch.count, "printed": printed.getvalue()}, file)


def _told(report: Any) -> Job:
    return {
        "ending": str(report.ending),
        "digest": report.plan.digest,
        "finding": str(report.plan.finding),
        "because": report.plan.because,
        "steps": [str(step) for step in report.plan.steps],
        "notes": [one.note for one in report.applied],
        "verdict": report.verdict,
        "warning": report.warning,
    }


def _change(values: Mapping[str, Any]) -> None:
    for dotted, value in values.items():
        module, _, name = dotted.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, name), dotted
        setattr(found, name, value)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _consent(watch: Watch) -> None:
    consent = Turn.consent

    def agreed(self: Any, *words: Any) -> Any:
        given = consent(self, *words)
        watch.at_work = given is not None
        return given

    Turn.consent = agreed  # type: ignore[method-assign]


def _writes(watch: Watch) -> None:
    write = Database.write

    @contextmanager
    def counted(db: Database) -> Iterator[Any]:
        mine = watch.counted("writes", "before after")
        if watch.when == "lost" and watch.count["writes"] >= watch.at:
            raise StoreUnusable("store-full", "the store is full", hint="free some space")
        with write(db) as conn:
            yield conn
            if mine and watch.when == "before":
                _die()
        if mine:
            _die()

    Database.write = counted  # type: ignore[method-assign]


def _statements(watch: Watch) -> None:
    """Everything that psycopg sends goes through `wait`, with a generator that has sent it when it is first asked.

    A look asks often whether a session is gone, so that only what comes after it has numbers that stay the same.
    """
    wait = psycopg.Connection.wait

    def counted(self: Any, gen: Any, *more: Any, **named: Any) -> Any:
        at_work = watch.at_work
        mine = watch.counted("statements", "sent answered") if at_work else watch.counted("looks", "looking")
        if mine and watch.when != "answered":
            with suppress(StopIteration):  # a commit where nothing was begun sends nothing
                next(gen)
            _die()
        given = wait(self, gen, *more, **named)
        if mine:
            _die()
        return given

    psycopg.Connection.wait = counted  # type: ignore[method-assign]


def _texts(watch: Watch) -> None:
    """A child is held once: whoever holds it lets it go on to its end."""
    execute = psycopg.Cursor.execute

    def watched(self: Any, query: Any, *more: Any, **named: Any) -> Any:
        text = query.as_string() if hasattr(query, "as_string") else query
        text = text.decode() if isinstance(text, bytes) else text
        wanted = watch.hold_before and (watch.at_work or watch.hold_looking) and not watch.held
        if wanted and watch.hold_before in text:
            watch.held = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return execute(self, query, *more, **named)

    psycopg.Cursor.execute = watched  # type: ignore[method-assign]


def _programs(watch: Watch) -> None:
    start = subprocess.Popen.__init__

    def counted(self: Any, *words: Any, **named: Any) -> None:
        mine = watch.counted("programs", "program")
        start(self, *words, **named)
        if mine:
            _die()

    subprocess.Popen.__init__ = counted  # type: ignore[method-assign,assignment]
