"""What `make bench` measures of migrations: that it breaks and mends what it says. No time is asserted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from lab.bench_migrations import MOST_S, PROMISED, VARIANTS, Variant, place, report_promised, report_turns, spent
from lab.bench_migrations_bare import dump_s, replay_s
from lab.bench_migrations_bed import FINDINGS, MendingProcess, Subject, mending
from lab.bench_migrations_files import write_history
from lab.bench_migrations_run import STAGES, Stopwatch
from lab.bench_results import QUICK, Bench
from lab.migrating import read_folder
from lab.postgres import Postgres
from lab.server import LabBroken
from runbooks.migrations.judging import OBJECTS
from tasks.migrations.catalog import snapshot
from tasks.migrations.parse import parse

# -- the long history -----------------------------------------------------------------------------------------------


def test_the_history_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_history(tmp_path / name)
    one, other = read_folder(tmp_path / "one"), read_folder(tmp_path / "other")
    assert one.digest == other.digest
    assert len(one.versions) == one.newest == 400
    files = [file for version in one for file in (version.up, version.down)]
    assert all(file and parse(file).statements for file in files)


def test_the_history_makes_what_it_says_and_takes_it_back(tmp_path: Path) -> None:
    write_history(tmp_path / "files")
    with Postgres(tmp_path / "postgres") as server, psycopg.connect(server.create("it"), autocommit=True) as conn:
        conn.execute("CREATE ROLE hoodcloud_reader")
        before = snapshot(conn)
        for file in sorted((tmp_path / "files").glob("*.up.sql")):
            conn.execute(file.read_bytes(), prepare=False)
        made = [key for key in snapshot(conn) if key.kind in OBJECTS]
        assert 2900 < len(made) < 3100
        for file in sorted((tmp_path / "files").glob("*.down.sql"), reverse=True):
            conn.execute(file.read_bytes(), prepare=False)
        assert snapshot(conn) == before


# -- what is read off a run -----------------------------------------------------------------------------------------


def ticking(*moments: float) -> Callable[[], float]:
    return iter(moments).__next__


def test_the_time_of_an_inner_stage_does_not_count_for_the_outer() -> None:
    watch = Stopwatch(ticking(0, 1, 3, 10, 14, 15, 21))
    with watch.stage("whole"):
        assert watch.timed("inner", len)("abc") == 3
        with pytest.raises(ZeroDivisionError), watch.stage("inner"):
            _ = 1 / 0
    assert watch.spent == {"whole": 2 + 4 + 6, "inner": 7 + 1}


@pytest.mark.parametrize(("where", "attribute"), [(where, attribute) for _, where, attribute in STAGES])
def test_what_is_timed_is_there(where: Any, attribute: str) -> None:
    found = getattr(where, attribute)
    assert callable(found) and not isinstance(found, ModuleType)


def answer(seconds: float, **stages: float) -> dict[str, Any]:
    return {"began": 100.0, "returned": 100.0 + seconds, "stages": stages}


def test_the_backup_is_left_out() -> None:
    assert spent(answer(3.0, backup=1.0, replay=0.5)) == 2.0
    assert spent(answer(3.0)) == 3.0


def test_variants_have_names_of_their_own() -> None:
    assert len({str(variant) for variant in VARIANTS}) == len(VARIANTS)
    assert set(PROMISED) <= set(VARIANTS)
    assert not any(variant.seldom for variant in PROMISED)


def test_rows_stages_and_goals() -> None:
    bench, variant = Bench(QUICK), PROMISED[0]
    bench.row(f"40 migrations, {variant.place}: the files alone, by psycopg", "s", [0.2])
    turns = [
        {"first look": answer(0.5), "mended": answer(took, backup=1.0, repair=0.1)} for took in (1.75, 1.875, 2.25)
    ]
    name = f"40 migrations, rolled-back, {variant}"
    report_turns(bench, name, turns, keep=True)
    report_promised(bench)
    assert bench.rows[f"{name}: first look"].median == 0.5
    assert bench.rows[f"{name}: mended"].samples == (0.75, 0.875, 1.25)
    assert bench.rows[f"{name}: mended / the files alone"].median == pytest.approx(0.875 / 0.2)
    assert bench.stages[f"{name}: mended"] == {"repair": [0.1, 0.1, 0.1]}
    assert [(goal.value, goal.most, goal.met) for goal in bench.goals] == [
        (0.875, MOST_S["40 migrations"]["mended"], True)
    ]


# -- what is measured -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Subject, MendingProcess]]:
    folder = tmp_path_factory.mktemp("bench") / "disk"
    with place(folder, long=20) as known, mending(known.variables, folder) as process:
        yield known.server, known.subjects["40 migrations"], process


def version(subject: Subject) -> list[tuple[Any, ...]]:
    with subject.database.connect() as conn:
        return conn.execute("SELECT version, dirty FROM schema_migrations").fetchall()


SAME, OWN = Variant("", "same-server"), Variant("", "own-server", keep=False)


@pytest.mark.parametrize(("variant", "finding"), [*((SAME, finding) for finding in FINDINGS), (OWN, "partly-applied")])
def test_it_breaks_and_mends(variant: Variant, finding: str, bed: tuple[Postgres, Subject, MendingProcess]) -> None:
    _, subject, process = bed
    with subject.database.connect() as conn:
        before = snapshot(conn)
    subject.forget()
    subject.break_(finding)
    assert version(subject) == [(41, True)]
    looked = process.call(variant.name(subject))
    assert looked["finding"] == finding
    assert version(subject) == [(41, True)]
    mended = process.call(variant.name(subject), looked["digest"])
    assert version(subject) == [(40, False)]
    with subject.database.connect() as conn:
        assert snapshot(conn) == before
    assert {"gate, look", "replay", "judge", "backup", "force", "look again"} <= mended["stages"].keys()
    assert ("repair" in mended["stages"]) == (finding == "partly-applied")
    assert sum(mended["stages"].values()) == pytest.approx(mended["returned"] - mended["began"], abs=0.05)
    assert 20 < process.peak_mb < 1000


def test_what_is_not_as_it_should_be_is_told(bed: tuple[Postgres, Subject, MendingProcess]) -> None:
    _, subject, process = bed
    with pytest.raises(LabBroken, match="no-such-database"):
        process.call("no-such-database")
    with pytest.raises(LabBroken, match="ended with"):  # clean: there is nothing that awaits an approval
        process.call(PROMISED[0].name(subject))


def test_what_it_is_compared_with(bed: tuple[Postgres, Subject, MendingProcess]) -> None:
    server, subject, _ = bed
    assert replay_s(server, subject) > 0
    assert dump_s(server, subject) > 0
    with psycopg.connect(server.url()) as conn:
        names = json.dumps([name for (name,) in conn.execute("SELECT datname::text FROM pg_database")])
    assert "bench_bare" not in names
    assert "runbook_scratch" not in names
