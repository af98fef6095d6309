"""What is known of a target that somebody holds: who, what they are doing, and whether they still live."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection, RowMapping

from runbooks.consent import Door, Origin
from runbooks.errors import TargetHeld
from store.holder import Process
from store.trail import trail

BEATS = 4
"""How many times a holder says that it lives within the time after which its silence counts as death."""


class Life(StrEnum):
    """What can be said of a holder. After a silence nobody knows, until it has lasted long enough to count as death."""

    AT_WORK = "at work"
    SILENT = "silent"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Held:
    """One target that is held, as of now. `step` is empty between two; in `free_in_s` silence will count as death."""

    target: str
    state: Life
    runbook: str
    run: str
    name: str
    door: Door
    person: str
    link: str
    since: float
    step: str
    process: str
    silent_s: float
    free_in_s: float

    def refusal(self, now: float) -> TargetHeld:
        """What somebody else is told who wants the target now."""
        who = Origin(self.run, self.door, self.person)
        run = f"run {self.name or self.run}" + (f" ({self.link})" if self.link else "")
        message = f"{self.target} is held by {who}: {self.runbook}, {run}, since {_clock(self.since)}, {self.process}, "
        message += f"in step “{self.step}”" if self.step else "between steps"
        watch = self.link or "`runbook status`"
        hint = f"wait until it has ended, or watch it: {watch}; do not repair by hand beside it"
        if self.state is Life.SILENT:
            dead_at = _clock(now + self.free_in_s)
            message += f"; it has been silent for {self.silent_s:.0f} s and counts as dead at {dead_at}"
            hint = f"start the same again in {self.free_in_s + 1:.0f} s: it then takes over and looks first"
        return TargetHeld("target-held", message, hint=hint)


def held_by(conn: Connection, row: RowMapping, now: float, stale_s: float) -> Held:
    """What is known of the holder in `row`. Silence is death after `stale_s`, or after the longer time it asked for."""
    process, silent_s = Process.read(row["process"]), now - row["heartbeat_at"]
    patience_s = max(stale_s, row["stale_s"])
    state = Life.SILENT if silent_s > 2 * row["stale_s"] / BEATS else Life.AT_WORK
    if silent_s > patience_s or process.surely_dead():
        state = Life.DEAD
    return Held(
        target=row["target"],
        state=state,
        runbook=row["runbook"],
        run=row["run"],
        name=row["run_name"],
        door=Door(row["door"]),
        person=row["person"],
        link=row["link"],
        since=row["since"],
        step=trail(conn, row["run"], row["target"], row["fence"]).begun,
        process=str(process),
        silent_s=silent_s,
        free_in_s=max(0.0, patience_s - silent_s),
    )


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"
