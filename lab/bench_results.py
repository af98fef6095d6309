"""Everything that one run of `make bench` found, and what could not be measured."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from lab.bench_machine import load
from lab.bench_rows import Goal, Row, table_of, table_of_goals, table_of_stages
from lab.world import ROOT
from runbooks.errors import RunbookError

RESULT = ROOT / "build" / "bench.json"


@dataclass(frozen=True)
class Repeats:
    """How often each kind of thing is measured."""

    one_node: int
    three_nodes: int
    slow: int
    memory: int
    starts: int
    steps: int
    outcomes: int
    mending: int


FULL = Repeats(one_node=15, three_nodes=7, slow=3, memory=2, starts=11, steps=150, outcomes=300, mending=5)
QUICK = Repeats(one_node=3, three_nodes=2, slow=1, memory=1, starts=3, steps=30, outcomes=30, mending=1)


@dataclass
class Bench:
    """What was found so far. `failures` are what could not be measured, a line each."""

    repeats: Repeats
    rows: dict[str, Row] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    stages: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    loads: list[float] = field(default_factory=lambda: [load()])

    def row(self, name: str, unit: str, samples: list[float], note: str = "") -> Row:
        """Keeps what was measured."""
        assert samples, f"nothing was measured of {name}"
        found = self.rows[name] = Row(name, unit, tuple(round(sample, 5) for sample in samples), note)
        return found

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """A part that breaks is a failure and not the end."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, the other parts can still be measured
            said = error.message if isinstance(error, RunbookError) else error
            self.failures.append(f"{what}: {type(error).__name__}: {said}")
            print(f"not measured: {what}: {said}", flush=True)


def show(bench: Bench, known: dict[str, str]) -> None:
    """Print the tables and write `build/bench.json`. `known` is what is known of the machine."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print()
    console.print(", ".join(f"{name}: {value}" for name, value in known.items()), highlight=False)
    loads = f"{bench.loads[0]} before, {max(bench.loads)} at most, {bench.loads[-1]} after"
    console.print(f"load: {loads} (above the number of cores, times grow)", highlight=False)
    console.print("OpenBao with raft, performance_multiplier 1 (default 5: elections take 5 times as long)\n")
    tables = {
        "What was measured": table_of(bench.rows.values()),
        "Where the time goes (medians, ms)": table_of_stages(bench.stages),
        "What was promised": table_of_goals(bench.goals),
    }
    for title, table in tables.items():
        console.print(f"[bold]{title}")
        console.print(table)
        console.print()
    for failure in bench.failures:
        console.print(f"not measured: {failure}", markup=False)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document(bench, known), indent=2) + "\n")
    where = RESULT.relative_to(ROOT) if RESULT.is_relative_to(ROOT) else RESULT
    console.print(f"the same, with every sample, is in {where}", markup=False)


def document(bench: Bench, known: dict[str, str]) -> dict[str, Any]:
    """As JSON data."""
    return {
        "machine": known,
        "loads": bench.loads,
        "repeats": asdict(bench.repeats),
        "rows": [row.document() for row in bench.rows.values()],
        "stages_s": bench.stages,
        "goals": [goal.document() for goal in bench.goals],
        "not measured": bench.failures,
    }
