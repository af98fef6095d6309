"""The arithmetic of `make bench` and its tables. How long anything takes is asserted nowhere: machines differ."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from lab import bench_results
from lab.bench_machine import load, machine
from lab.bench_memory import peak_mb, peaks_below
from lab.bench_results import QUICK, Bench
from lab.bench_rows import Goal, Row, at_most, ratio, table_of, table_of_goals, table_of_stages
from lab.bench_small import outbox_of, step_s, turn_s
from lab.bench_unsealing import goals_of_one, goals_of_three, report
from lab.bench_ways import WAYS, Timing, majority_of, timing
from lab.receivers import Receivers
from lab.server import LabBroken
from store import journal
from store.database import Database

CHILD = "import sys; room = bytearray({mb} << 20); print('ready', flush=True); sys.stdin.readline()"


def row(*samples: float, unit: str = "s") -> Row:
    return Row("it", unit, samples)


def text_of(table: Table) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    ("samples", "median"), [((2.0,), 2.0), ((1.0, 9.0, 2.0), 2.0), ((1.0, 2.0, 4.0, 1000.0), 3.0), ((0.0, 0.0), 0.0)]
)
def test_median(samples: tuple[float, ...], median: float) -> None:
    assert row(*samples).median == median
    assert row(*samples).document()["samples"] == samples


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (ratio("", row(1, 2, 3), row(4, 4, 4), 1.0), 0.5, True),
        (ratio("", row(4), row(4), 1.0), 1.0, True),
        (ratio("", row(8), row(4), 1.0), 2.0, False),
        (at_most("", row(200, unit="MB"), 200), 200, True),
        (at_most("", row(200.1, unit="MB"), 200), 200.1, False),
    ],
)
def test_goal(goal: Goal, value: float, met: bool) -> None:
    assert goal.value == pytest.approx(value)
    assert goal.met is met
    assert goal.document()["met"] is met
    assert ("MISSED" in text_of(table_of_goals([goal]))) is not met


def test_table_of_rows() -> None:
    _, line = text_of(table_of([Row("to unseal", "s", (0.25, 0.5, 12.0), "a note")])).splitlines()
    assert line.split() == ["to", "unseal", "3", "0.500", "0.250", "12.0", "s", "a", "note"]


def test_table_of_stages_leaves_open_what_a_way_does_not_have() -> None:
    stages = {"bare": {"shares": [0.010, 0.030]}, "runbook": {"start": [0.001], "shares": [0.1]}}
    head, bare, runbook = text_of(table_of_stages(stages)).splitlines()
    assert head.split() == ["shares", "start"]
    assert (bare.split(), runbook.split()) == (["bare", "20"], ["runbook", "100", "1"])


# -- what is read off a run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "at"), [((5.0,), 5.0), ((1.0, 2.0, 3.0), 2.0), ((3.0, 1.0, 2.0, 9.0, 8.0), 3.0)])
def test_an_election_can_begin_when_most_nodes_are_open(given: tuple[float, ...], at: float) -> None:
    assert majority_of(given) == at


def written(**moments: tuple[float, ...]) -> list[dict[str, object]]:
    return [{"event": event, "at": at, "run": "r"} for event, times in moments.items() for at in times]


ROWS = written(took=(10.2,), intended=(10.5, 10.8, 11.1), applied=(10.7, 11.0, 11.3), told=(14.4,), released=(14.4,))


def test_timing_of_three_nodes() -> None:
    found = timing(10.0, 15.0, 14.0, ROWS, {"r": 14.9}.__getitem__)
    assert found.majority == 11.0
    assert found.election_s == 3.0
    assert found.above_election_s(found.usable) == pytest.approx(1.4)
    assert found.above_election_s(found.ended) == pytest.approx(2.0)
    expected = [0.2, 0.3, 0.8, 2.7, 0.4, 0.5, 0.1]
    assert list(found.stages.values()) == pytest.approx(expected)


@pytest.mark.parametrize("settled", [0.0, 11.2, 11.3, 14.0, 14.4, 14.41])
def test_the_stages_are_the_whole_run(settled: float) -> None:
    found = timing(10.0, 15.0, settled, ROWS, lambda _: 14.9)
    assert sum(found.stages.values()) == pytest.approx(5.0)
    assert min(found.stages.values()) >= 0


@pytest.mark.parametrize("event", ["took", "intended", "applied", "told"])
def test_a_run_that_did_not_do_it_all_gives_no_times(event: str) -> None:
    with pytest.raises(LabBroken, match=event):
        timing(10.0, 15.0, 14.0, [one for one in ROWS if one["event"] != event], lambda _: 14.9)


def timings(*totals: float) -> list[Timing]:
    return [Timing(0.0, 0.25, total - 0.25, total - 0.125, total, {"shares": total}) for total in totals]


def test_goals_of_one_node() -> None:
    bench = Bench(QUICK)
    for way in WAYS:
        report(bench, "one node", way, timings(0.75) if way.startswith("bao") else timings(0.5, 1.5, 0.625))
    assert [goal.value for goal in goals_of_one(bench)] == pytest.approx([0.8, 1.0] * 2)
    assert all(goal.met for goal in bench.goals)


def test_goals_of_three_nodes() -> None:
    bench, found = Bench(QUICK), {way: timings(3.5) if way.startswith("bare") else timings(4.0) for way in WAYS}
    for way in WAYS:
        report(bench, "three nodes", way, found[way])
    assert [goal.value for goal in goals_of_three(bench, found)] == pytest.approx([0.375, 0.5] * 2)


# -- what is measured -----------------------------------------------------------------------------------------------


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """A process with a known number of MB in it."""
    program = (sys.executable, "-c", CHILD.format(mb=request.param))
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        yield started
        started.communicate("end\n")


@pytest.mark.parametrize("child", [5, 60], indirect=True)
def test_peak_of_a_process(child: "subprocess.Popen[str]", request: pytest.FixtureRequest) -> None:
    mb = request.node.callspec.params["child"]
    assert mb < peak_mb(child.pid) < mb + 40


def test_peaks_below_a_process_tell_the_programs_apart() -> None:
    grandchild = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD.format(mb=60)!r}, 'tasks.shares'])"
    )
    with subprocess.Popen(
        (sys.executable, "-c", grandchild), stdin=subprocess.PIPE, text=True, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        assert run.stdout.readline() == "ready\n"
        with peaks_below(run.pid) as found:
            deadline = time.monotonic() + 10
            while not found and time.monotonic() < deadline:
                time.sleep(0.01)
        run.communicate("end\n")
    assert list(found) == ["shares"]
    assert found["shares"] > 60


def test_store_is_measured_by_what_it_writes(tmp_path: Path) -> None:
    db = Database.open(f"sqlite:///{tmp_path / 'store.db'}")
    try:
        assert turn_s(db) > 0
        assert len(step_s(db, 3)) == 3
        audit = journal.verify(db)
    finally:
        db.close()
    assert (audit.rows, audit.faults) == (2 + 3 + 2 * 3, ())  # took, released; took, planned, released; a step is two


def test_outbox_counts_what_arrived(tmp_path: Path) -> None:
    with Receivers(tmp_path / "receivers") as receivers:
        assert outbox_of(tmp_path, receivers, 2).letters == 8
        assert outbox_of(tmp_path, receivers, 2, hanging="slack", deadline_s=3).letters == 6
        with pytest.raises(LabBroken, match="0 of 8"):
            outbox_of(tmp_path, receivers, 2, deadline_s=0)


def test_machine() -> None:
    known = machine()
    assert all(known.values())
    assert load() >= 0


# -- the whole ------------------------------------------------------------------------------------------------------


def test_a_part_that_breaks_is_shown_and_is_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_results, "RESULT", tmp_path / "build" / "bench.json")
    bench = Bench(QUICK)
    bench.row("to unseal", "s", [0.123456789, 1])
    with bench.part("a part"):
        raise LabBroken("lab-x", "it broke", hint="mend it")
    with bench.part("a row without samples"):
        bench.row("never measured", "s", [])
    with bench.part("another"):
        bench.goals.append(Goal("to be quick", 2, 1))
    bench_results.show(bench, {"processor": "slow"})
    said = capsys.readouterr().out
    result = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert [failure.partition(":")[0] for failure in bench.failures] == ["a part", "a row without samples"]
    assert result["not measured"] == bench.failures
    assert result["rows"][0]["samples"] == [0.12346, 1]
    assert result["machine"] == {"processor": "slow"}
    assert len(result["rows"]) == 1
    for word in ("to unseal", "MISSED", "it broke", "slow", "performance_multiplier 1"):
        assert word in said
