"""`make bench`: the runbook against bare calls and the command line, its memory, what store and outbox cost.

Everything is measured in one run on one machine; what is compared takes turns, so that noise meets all of it alike.
Goals are printed as met or missed. The exit code is 0 when all could be measured.
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from lab import bench_memory as memory
from lab import bench_small as small
from lab.bench_bed import Bed
from lab.bench_machine import load, machine
from lab.bench_migrations import migrations
from lab.bench_results import FULL, QUICK, Bench, show
from lab.bench_rows import Goal, at_most
from lab.bench_unsealing import unsealing
from lab.vault import VaultCluster
from lab.world import World
from store.database import Database


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it works, not to quote")
    bench = Bench(QUICK if parser.parse_args().quick else FULL)
    folder = Path(tempfile.mkdtemp(prefix="runbook-bench-"))
    try:
        print("starting Vaults of one node and of three, PostgreSQL, Prefect, and receivers of messages …", flush=True)
        with World(folder / "world") as world:
            measure(bench, world, folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
    bench.loads.append(load())
    show(bench, machine())
    return 1 if bench.failures else 0


def measure(bench: Bench, world: World, folder: Path) -> None:
    """Part by part."""
    print("runbook --help, the store, the outbox …", flush=True)
    with bench.part("runbook --help and runbook list"):
        starts(bench)
    with bench.part("the store"):
        store(bench, world, folder)
    with bench.part("the outbox"):
        sending(bench, world, folder)
    with bench.part("migrations"):
        migrations(bench, world.prefect, folder / "migrations")
    world.vault.stop()
    one = VaultCluster(folder / "one", nodes=1)
    with bench.part("a Vault of one node"), one:
        one.initialise()
        one.seed(world.receivers.credentials())
        with Bed(world, one, folder / "bed-1") as bed:
            unsealing(bench, bed, "one node", bench.repeats.one_node)
    with bench.part("a Vault of three nodes"):
        world.vault.start()
        world.vault.unseal()
        with Bed(world, world.vault, folder / "bed-3") as bed:
            unsealing(bench, bed, "three nodes", bench.repeats.three_nodes)
            print("memory …", flush=True)
            with bench.part("memory"):
                peaks(bench, bed)


def starts(bench: Bench) -> None:
    """The command line from a cold start."""
    taken: dict[str, list[float]] = {"--help": [], "list": []}
    for _ in range(bench.repeats.starts):
        for word, found in taken.items():
            found.append(small.start_s(word))
    for word, found in taken.items():
        row = bench.row(f"runbook {word}", "s", found)
        bench.goals.append(at_most(f"runbook {word} answers", row, 0.3))


def store(bench: Bench, world: World, folder: Path) -> None:
    """One turn and one journaled step, on both databases by turns."""
    stores = {"SQLite": f"sqlite:///{folder / 'bench.db'}", "PostgreSQL": world.postgres.create("bench")}
    opened = {name: Database.open(url) for name, url in stores.items()}
    turns: dict[str, list[float]] = {name: [] for name in stores}
    steps: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(bench.repeats.steps // 30):
        for name, db in opened.items():
            turns[name] += [small.turn_s(db) for _ in range(30)]
            steps[name] += small.step_s(db, 30)
    for name, db in opened.items():
        db.close()
        note = "fsync off in the lab" if name == "PostgreSQL" else "every commit is synced"
        bench.row(f"{name}: hold a target and give it back", "ms", [one * 1000 for one in turns[name]], note)
        bench.row(f"{name}: journal one step", "ms", [one * 1000 for one in steps[name]], "intended, then applied")


def sending(bench: Bench, world: World, folder: Path) -> None:
    """Outcomes by four channels, and again while one of them never answers."""
    count, receivers = bench.repeats.outcomes, world.receivers
    well = small.outbox_of(folder, receivers, count)
    bench.row("outbox: letters sent", "/s", [well.letters / well.seconds], f"{count} outcomes by 4 channels")
    hung = small.outbox_of(folder, receivers, count, hanging="slack", deadline_s=2 * well.seconds + 5)
    row = bench.row("outbox: letters sent while Slack hangs", "/s", [hung.letters / hung.seconds], "by the other 3")
    each = [well.letters / well.seconds / 4, row.median / 3]
    bench.goals.append(Goal("outbox: time of a channel beside one that hangs / beside none", each[0] / each[1], 1.1))


def peaks(bench: Bench, bed: Bed) -> None:
    """Memory of a run by the worker."""
    found = [memory.of_a_run(bed) for _ in range(bench.repeats.memory)]
    bed.cluster.power_cut()
    run = bench.row("memory: the process of a run", "MB", [one["run"] for one in found], "by the worker, VmHWM")
    alone = memory.of_the_shares_program(bed.cluster)
    shares = bench.row("memory: the program with the shares", "MB", [alone], "one at a time, beside it")
    bench.row("memory: the worker, which waits", "MB", [one["worker"] for one in found], "once, for all runs")
    bench.goals.append(Goal("memory of a run with its program", run.median + shares.median, 200, "MB"))


if __name__ == "__main__":
    sys.exit(main())
