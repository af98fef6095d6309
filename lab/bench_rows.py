"""What `make bench` measured: rows of samples, what was promised about them, and the tables that people read."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One thing that was measured, `samples` in `unit`, in the order in which they were taken. `note` explains it."""

    name: str
    unit: str
    samples: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """The middle sample: one that was disturbed does not move it."""
        return statistics.median(self.samples)

    def document(self) -> dict[str, Any]:
        """As JSON data, every sample kept."""
        spread = {"median": round(self.median, 4), "least": min(self.samples), "most": max(self.samples)}
        return {"name": self.name, "unit": self.unit, **spread, "samples": self.samples, "note": self.note}


@dataclass(frozen=True)
class Goal:
    """A promise: `value` (in `unit`, empty for a ratio) may not be over `most`."""

    what: str
    value: float
    most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it was kept in this run."""
        return self.value <= self.most

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "what": self.what,
            "value": round(self.value, 4),
            "most": self.most,
            "unit": self.unit or "ratio",
            "met": self.met,
        }


def ratio(what: str, one: Row, other: Row, most: float) -> Goal:
    """`one` may take at most `most` times what `other` takes, median by median."""
    return Goal(what, one.median / other.median, most)


def at_most(what: str, one: Row, most: float) -> Goal:
    """The median of `one` may not be over `most`."""
    return Goal(what, one.median, most, one.unit)


def table_of(rows: Iterable[Row]) -> Table:
    """The rows as people read them."""
    table = _table("what", "n", "median", "least", "most", "", "")
    for row in rows:
        numbers = (row.median, min(row.samples), max(row.samples))
        table.add_row(row.name, str(len(row.samples)), *(_number(number) for number in numbers), row.unit, row.note)
    return table


def table_of_goals(goals: Iterable[Goal]) -> Table:
    """What was promised, and whether it was kept."""
    table = _table("what", "measured", "at most", "", "")
    for goal in goals:
        kept = "met" if goal.met else "MISSED"
        table.add_row(goal.what, _number(goal.value), _number(goal.most), goal.unit, kept)
    return table


def table_of_stages(stages: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """Where the time of a run goes: the median of every stage, in ms, by the way in which it was started."""
    names = list(dict.fromkeys(name for found in stages.values() for name in found))
    table = _table("", *names)
    for way, found in stages.items():
        cells = (f"{statistics.median(found[name]) * 1000:.0f}" if found.get(name) else "" for name in names)
        table.add_row(way, *cells)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or not column else "right")
    return table


def _number(value: float) -> str:
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:.{digits}f}"
