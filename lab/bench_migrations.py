"""How long it takes to look at a dirty database and to mend it, beside the bare cost of what cannot be avoided.

Two histories, of 40 and of 400 migrations; two ways in which the next one failed; scratch databases on the same server
or on one of the run's own, with the replayed versions kept for the next look, or not. The time of the backup is left
out: it grows with the database, and not with anything that is done here.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.bench_machine import load
from lab.bench_migrations_bare import dump_s, replay_s
from lab.bench_migrations_bed import FINDINGS, MendingProcess, Subject, mending, subjects
from lab.bench_results import Bench
from lab.bench_rows import at_most
from lab.postgres import Postgres
from lab.prefect import PrefectServer

DISK, MEMORY = "on disk", "in memory"
"""Where the server of the live database keeps its data; a scratch server of the run's own has its data in memory."""

_MEMORY = Path("/dev/shm")

MOST_S = {
    "40 migrations": {"mended": 1.0},
    "400 migrations": {"first look": 5.0, "mended": 1.5},
}
"""What was promised, seconds: a first look, when nothing is kept yet; and all of a repair, looking before and after."""

MOST_MB = 250


@dataclass(frozen=True)
class Variant:
    """A way to look. `seldom`: not in a quick run."""

    place: str
    scratch: str
    keep: bool = True
    prefect: bool = False
    seldom: bool = False

    def __str__(self) -> str:
        words = ("" if self.keep else "nothing kept", "under Prefect" if self.prefect else "")
        return ", ".join(filter(None, (self.place, self.scratch, *words)))

    def name(self, subject: Subject) -> str:
        """The database's name in RUNBOOK_DATABASES."""
        return f"{subject.newest}-{self.scratch}-{'kept' if self.keep else 'not'}"


VARIANTS = (
    Variant(DISK, "same-server"),
    Variant(DISK, "own-server"),
    Variant(DISK, "own-server", prefect=True),
    Variant(MEMORY, "same-server"),
    Variant(DISK, "same-server", keep=False, seldom=True),
    Variant(DISK, "own-server", keep=False, seldom=True),
)

PROMISED = VARIANTS[:2]


@dataclass
class Place:
    """One server with both histories, and the settings of runs that look at them."""

    server: Postgres
    folder: Path
    subjects: dict[str, Subject]
    variables: dict[str, str]


def migrations(bench: Bench, prefect: PrefectServer, folder: Path) -> None:
    """All of it; everything lies below `folder`, but for what is in memory."""
    with ExitStack() as open_:
        places = {DISK: open_.enter_context(place(folder / "disk"))}
        memory = Path(open_.enter_context(tempfile.TemporaryDirectory(dir=_MEMORY, prefix="runbook-bench-")))
        places[MEMORY] = open_.enter_context(place(memory / "memory"))
        bare(bench, places)
        fresh(bench, places[DISK])
        for prefected in (False, True):
            for name, where in places.items():
                known = where.variables | (prefect.client_environment(where.folder / "prefect") if prefected else {})
                with mending(known, where.folder) as process:
                    for variant in VARIANTS:
                        if (variant.place, variant.prefect) == (name, prefected):
                            _by_turns(bench, where, variant, process)
        report_promised(bench)


@contextmanager
def place(folder: Path, long: int = 400) -> Iterator[Place]:
    """A server below `folder` with both histories, the long one of so many versions."""
    folder.mkdir(parents=True)
    with Postgres(folder / "postgres") as server:
        known = subjects(server, folder / "migrations", long)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(known["40 migrations"].database.password)
        told = {
            f"{variant.name(subject)}": subject.settings(password, variant.scratch, keep=variant.keep)
            for subject in known.values()
            for variant in VARIANTS
        }
        variables = {
            "RUNBOOK_STORE_URL": f"sqlite:///{folder / 'store.db'}",
            "RUNBOOK_ENV_FILE": "/dev/null",
            "RUNBOOK_DATABASES": json.dumps(told),
            "RUNBOOK_POSTGRES_FOLDER": str(server.binaries),
            "RUNBOOK_CREDENTIALS_CACHE": str(folder / "channels.lkg"),
        }
        yield Place(server, folder, known, variables)


def bare(bench: Bench, places: dict[str, Place]) -> None:
    """What it is measured by: running the files, and writing the schema down."""
    for name, where in places.items():
        for size, subject in where.subjects.items():
            times = range(max(bench.repeats.mending, 2))
            found = [replay_s(where.server, subject) for _ in times]
            bench.row(_alone(size, name), "s", found, "into an empty database; fsync off in the lab")
            found = [dump_s(where.server, subject) for _ in times]
            bench.row(f"{size}, {name}: pg_dump --schema-only", "s", found)


def _alone(size: str, place: str) -> str:
    return f"{size}, {place}: the files alone, by psycopg"


def fresh(bench: Bench, where: Place) -> None:
    """A process of its own for all of it: how long until it has looked, and how much memory it has taken in the end."""
    taken: list[float] = []
    peaks: list[float] = []
    subject, variant = where.subjects["400 migrations"], PROMISED[1]
    for _ in range(bench.repeats.memory):
        _break(subject, "partly-applied")
        with mending(where.variables, where.folder) as process:
            looked = process.call(variant.name(subject))
            taken.append(looked["returned"] - process.began)
            process.call(variant.name(subject), looked["digest"])
            peaks.append(process.peak_mb)
    name = f"400 migrations, partly-applied, {variant}: first look, by a new process"
    row = bench.row(name, "s", taken, "from its start, imports and all")
    bench.goals.append(at_most(name, row, MOST_S["400 migrations"]["first look"]))
    row = bench.row("memory: a process that looks at 400 migrations and mends", "MB", peaks, "VmHWM, servers left out")
    bench.goals.append(at_most(row.name, row, MOST_MB))


def _break(subject: Subject, finding: str) -> None:
    subject.forget()
    subject.break_(finding)


def _by_turns(bench: Bench, where: Place, variant: Variant, process: MendingProcess) -> None:
    """Every size and finding, after one round with the small one that is not counted."""
    times = bench.repeats.mending
    if variant.seldom and times == 1:
        return
    small = where.subjects["40 migrations"]
    _turn(small, FINDINGS[1], variant, process)
    print(f"mending, {variant} …", flush=True)
    for size, subject in where.subjects.items():
        # a quick run leaves the simpler one out where only the place differs
        for finding in FINDINGS[-1:] if times == 1 and variant not in PROMISED else FINDINGS:
            bench.loads.append(load())
            with bench.part(f"{size}, {finding}, {variant}"):
                turns = [_turn(subject, finding, variant, process) for _ in range(times)]
                report_turns(bench, f"{size}, {finding}, {variant}", turns, keep=variant.keep)


Answers = dict[str, dict[str, Any]]


def _turn(subject: Subject, finding: str, variant: Variant, process: MendingProcess) -> Answers:
    """The first look after a failure, and the repair: answers of the process, by what was asked for."""
    _break(subject, finding)
    name = variant.name(subject)
    first = process.call(name, prefect=variant.prefect)
    assert first["finding"] == finding, f"{name} is found {first['finding']} and was {finding}"
    return {"first look": first, "mended": process.call(name, first["digest"], prefect=variant.prefect)}


def spent(answer: dict[str, Any]) -> float:
    """Seconds of one call, the backup left out."""
    return float(answer["returned"] - answer["began"] - answer["stages"].get("backup", 0.0))


def report_turns(bench: Bench, name: str, turns: list[Answers], *, keep: bool) -> None:
    """Rows and stages of one variant."""
    template = "with the template" if keep else "no template"
    notes = {"first look": "no template yet", "mended": f"looks, mends, looks again; {template}"}
    for asked, note in notes.items():
        bench.row(f"{name}: {asked}", "s", [spent(turn[asked]) for turn in turns], note)
        stages = list(dict.fromkeys(stage for turn in turns for stage in turn[asked]["stages"]))
        bench.stages[f"{name}: {asked}"] = {
            stage: [turn[asked]["stages"][stage] for turn in turns if stage in turn[asked]["stages"]]
            for stage in stages
            if stage != "backup"
        }


def report_promised(bench: Bench) -> None:
    """The goals, and how often the files alone could have been run meanwhile."""
    for size, most in MOST_S.items():
        for variant in PROMISED:
            for finding in FINDINGS:
                for asked, limit in most.items():
                    if row := bench.rows.get(f"{size}, {finding}, {variant}: {asked}"):
                        bench.goals.append(at_most(row.name, row, limit))
                        times = row.median / bench.rows[_alone(size, variant.place)].median
                        bench.row(f"{row.name} / the files alone", "times", [times])
