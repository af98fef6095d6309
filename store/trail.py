"""What the journal says of the steps of one run."""

import json
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from store.schema import JOURNAL

STEP_EVENTS = ("intended", "remarked", "applied", "failed")


@dataclass(slots=True)
class Trail:
    """`applied`: sentence to note, in order. `remarks`: what the run wrote down for a successor, by name.

    `begun`: the step that was begun and not finished, so that only looking again tells how far it came; else empty.
    """

    applied: dict[str, str] = field(default_factory=dict)
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
                found.applied[data["step"]] = data["note"]
                found.begun = ""
            case "failed":
                found.begun = "" if data["nothing_changed"] else data["step"]
    return found
