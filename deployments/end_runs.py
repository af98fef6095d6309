"""Ends the runs of this container in good order before the container stops: `python -m deployments.end_runs`.

A stopped container takes its runs with it, and Prefect's worker kills them without a word when it is asked to end. So
the runs are asked first: a run that gets SIGTERM writes down how far it came, says so, and gives its target back.
Under systemd nobody calls this: there a run outlives its worker.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT_S = 25
"""Longest wait for the runs, seconds: a run takes up to 15 s to tell how it ended. Below `stop_grace_period`."""


def runs(processes: Path) -> Iterator[int]:
    """The processes of this user that execute a run, as Prefect's worker starts them."""
    for process in processes.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if process.stat().st_uid == os.getuid() and words[1:3] == [b"-m", b"prefect.engine"]:
                yield int(process.name)


def end(processes: Path, limit_s: float = LIMIT_S) -> list[int]:
    """Ask every run to end and wait for all of them; those that are still there after `limit_s` seconds.

    `processes` is the container's /proc, which shows its own processes only.
    """
    deadline = time.monotonic() + limit_s
    for run in runs(processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(run, signal.SIGTERM)
    while (left := list(runs(processes))) and time.monotonic() < deadline:
        time.sleep(0.1)  # they are not our children: nothing says when they have ended
    return left


if __name__ == "__main__":
    raise SystemExit(bool(end(Path("/proc"))))
