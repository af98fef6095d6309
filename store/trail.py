"""What the journal says of the steps of one run."""

import json
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from runbooks.report import Applied
from store.schema import JOURNAL

STEP_EVENTS = ("intended", "remarked", "applied", "failed")


@dataclass(slots=True)
class Trail:
    """`applied`: what was carried out, by sentence. `remarks`: what the run wrote down for a successor, by name.

    `begun`: the step that was begun and not finished, so that only looking again tells how far it came; else empty.
    """

    applied: dict[str, Applied] = field(default_factory=dict)
    begun: str = ""
    remarks: dict[str, str] = field(default_factory=dict)


def trail(conn: Connection, run: str, target: str = "", fence: int = 0) -> Trail:
    """The trail of `run`; of its one turn `fence` on `target`, if given (a run that is started again has several)."""
    query = select(JOURNAL.c.event, JOURNAL.c.data).where(JOURNAL.c.run == run, JOURNAL.c.event.in_(STEP_EVENTS))
    if target:
        query = query.where(JOURNAL.c.target == target, JOURNAL.c.fence == fence)
    found = Trail()
    for event, text in conn.execute(query.order_by(JOURNAL.c.seq)):
        data = json.loads(text)
        match event:
            case "intended":
                found.begun = data["step"]
            case "remarked":
                found.remarks[data["name"]] = data["value"]
            case "applied":
                found.applied[data["step"]] = Applied(data["step"], data["note"], data.get("undo", ""))
                found.begun = ""
            case "failed":
                found.begun = "" if data["nothing_changed"] else data["step"]
    return found


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a run wrote down about its target, and when (seconds since 1970, UTC)."""

    run: str
    at: float
    value: str


def last_remark(conn: Connection, target: str, name: str) -> Remark | None:
    """The newest remark called `name` that any run made on `target`: what was done there is known beyond one run."""
    query = select(JOURNAL.c.run, JOURNAL.c.at, JOURNAL.c.data)
    for run, at, text in conn.execute(
        query.where(JOURNAL.c.target == target, JOURNAL.c.event == "remarked").order_by(JOURNAL.c.seq.desc())
    ):
        data = json.loads(text)
        if data["name"] == name:
            return Remark(run, at, data["value"])
    return None
