"""What plans, votes and outcomes must be, told by the journal alone, and where the tables say something else."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from store.schema import OUTCOMES, PLANS, VOTES

HEAD_DIGITS = 12
"""How many digits of the journal's head a message carries for people to keep."""

Data = dict[str, Any]


class Replay:
    """Takes the journal row by row, then compares."""

    def __init__(self) -> None:
        """Begins before the first row, with nothing."""
        self._plans: dict[str, Data] = {}
        self._votes: dict[str, Data] = {}
        self._outcomes: dict[str, Data] = {}

    def take(self, row: RowMapping) -> None:
        """The next row of the journal."""
        # Only a row that was changed after it was written is no such data, and its hash tells.
        with suppress(ValueError, TypeError, KeyError):
            self._take(row["event"], json.loads(row["data"]), row["hash"])

    def _take(self, event: str, data: Data, row_hash: str) -> None:
        match event:
            case "planned":
                self._plans[_plan_key(data)] = data
            case "voted":
                self._votes[_vote_key(data)] = data
            case "spent":
                self._plans.pop(data["digest"], None)
                self._votes = {key: vote for key, vote in self._votes.items() if vote["digest"] != data["digest"]}
            case "told":
                self._outcomes[data["id"]] = {**data, "outcome": {**data["outcome"], "head": row_hash[:HEAD_DIGITS]}}

    def compare(self, conn: Connection) -> Iterator[str]:
        """One line for every row of the tables that is missing, changed, or in no journal."""
        plans = (_parsed(row, "sheet") for row in conn.execute(select(PLANS)).mappings())
        yield from _disagreements("plan", self._plans, plans, _plan_key)
        votes = (dict(row) for row in conn.execute(select(VOTES)).mappings())
        yield from _disagreements("vote", self._votes, votes, _vote_key)
        told = select(OUTCOMES.c.id, OUTCOMES.c.dedup, OUTCOMES.c.outcome)
        outcomes = (_parsed(row, "outcome") for row in conn.execute(told).mappings())
        yield from _disagreements("outcome", self._outcomes, outcomes, lambda outcome: str(outcome["id"]))


def _plan_key(plan: Data) -> str:
    return str(plan["digest"])


def _vote_key(vote: Data) -> str:
    return f"{vote['person']} on {vote['digest']}"


def _parsed(row: RowMapping, column: str) -> Data:
    try:
        return {**row, column: json.loads(row[column])}
    except ValueError:
        return dict(row)


def _disagreements(
    what: str, journaled: Mapping[str, Data], rows: Iterable[Data], key: Callable[[Data], str]
) -> Iterator[str]:
    stored = {key(row): row for row in rows}
    for name in sorted({*journaled, *stored}):
        if name not in stored:
            yield f"the {what} {name} is in the journal and was removed"
        elif name not in journaled:
            yield f"the {what} {name} is not in the journal"
        elif stored[name] != journaled[name]:
            yield f"the {what} {name} is not as in the journal"
