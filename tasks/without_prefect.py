"""Running a flow where there is no Prefect server: its tasks become the plain functions that they wrap."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from prefect import Task


def _plainly(task: "Task[..., Any]", *arguments: Any, **named: Any) -> Any:
    return task.fn(*arguments, **named)


@contextmanager
def without_prefect() -> Iterator[None]:
    """Within the body, calling a task calls its function: no engine, no server, no retries, no state.

    Prefect has no such switch: `flow.fn()` runs the flow's function, but every task in it would look for a server or
    start one.
    """
    with mock.patch.object(Task, "__call__", _plainly):
        yield
