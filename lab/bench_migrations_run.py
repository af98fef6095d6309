"""A warm process for `make bench`: a line on standard input makes it look at a database, or mend it.

python -m lab.bench_migrations_run, with the settings of a run in its environment. A line is {"database": …, "approve":
DIGEST or "", "prefect": …}; the answer says when the call began and returned (seconds since 1970), how it ended, which
plan it was about, and where the time went.
"""

import importlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

import tasks.migrations as hands
from flows.recover_dirty_migration import recover_dirty_migration
from runbooks.consent import Door, Origin
from runbooks.errors import RunbookError
from store.doors import entered
from tasks import turn
from tasks.migrations import replaying, version
from tasks.without_prefect import without_prefect

_LOOKING = importlib.import_module("tasks.migrations.look")  # by this name the package has its function

STAGES: tuple[tuple[str, Any, str], ...] = (
    ("gate, look", hands, "look_closely"),
    ("scratch server", _LOOKING, "trial"),
    ("replay", replaying.Replay, "hypotheses"),
    ("judge", replaying, "judge"),
    ("rehearse", replaying.Replay, "way_back"),
    ("replay", replaying.Replay, "with_steps"),
    ("backup", hands, "_save"),
    ("repair", hands, "take_back"),
    ("force", version, "force_alone"),
    ("look again", hands, "look_again"),
    ("tell", turn, "deliver"),
)
"""What is timed, under which name, and where it is looked up. The time of an inner one does not count for the outer."""


class Stopwatch:
    """Seconds by stage. Only one is running at a time: an inner stage stops the one that it is part of."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.spent: dict[str, float] = {}
        self._clock = clock
        self._running: list[str] = []
        self._since = clock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The body is part of `name`."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def _switch(self) -> None:
        now = self._clock()
        if self._running:
            name = self._running[-1]
            self.spent[name] = self.spent.get(name, 0.0) + now - self._since
        self._since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, as a part of `name`."""

        @wraps(function)
        def within(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **named)

        return within


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Seconds by stage of what the body runs."""
    watch = Stopwatch()
    with ExitStack() as patched:
        for name, where, attribute in STAGES:
            function = watch.timed(name, getattr(where, attribute))
            patched.enter_context(mock.patch.object(where, attribute, function))
        with watch.stage("turn, plan, consent"):
            yield watch.spent


def under_prefect(**asked: Any) -> Any:
    """A call of the flow under Prefect, with its heartbeats turned off."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return recover_dirty_migration(**asked)


def break_glass(**asked: Any) -> Any:
    """With no Prefect anywhere, as `runbook break-glass` does it."""
    token = entered.set(Origin(uuid.uuid4().hex, Door.BREAK_GLASS, "bench", "bench"))
    try:
        with without_prefect():
            return recover_dirty_migration.fn(**asked)
    finally:
        entered.reset(token)


def run(database: str, approve: str = "", *, prefect: bool = False) -> dict[str, Any]:
    """One call, when it was made, and where the time went."""
    way = under_prefect if prefect else break_glass
    with watched() as stages:
        began = time.time()
        try:
            report = way(database=database, approve=approve, reason="bench")
        except RunbookError as error:
            return {"error": f"{error.message} [{error.reference}]"}
        returned = time.time()
    plan = report.plan
    return {
        "began": began,
        "returned": returned,
        "ending": report.ending,
        "finding": plan.finding,
        "digest": plan.digest,
        "stages": stages,
    }


def main() -> None:
    """A run for each line, until there is none."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
