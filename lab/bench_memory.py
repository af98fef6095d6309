"""How much memory a run takes at its peak: its own process, and the program that holds the shares, told apart."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.bench_bed import Bed
from lab.vault import VaultCluster
from tasks.vault.program import answer_of, shares_program, tell

_LOOK_AGAIN_S = 0.01


def peak_mb(pid: int | str) -> float:
    """The most that the process `pid` ever had in memory since its program was started, MB (VmHWM, proc(5)).

    Not by getrusage: the peak that it tells of a child begins with that of the parent it was forked from.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@contextmanager
def peaks_below(pid: int) -> Iterator[dict[str, float]]:
    """While the body runs, note the peak of every process below `pid`, by its kind."""
    found: dict[str, float] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_AGAIN_S):
            for child in _below(str(pid)):
                with suppress(OSError, StopIteration):  # it ended meanwhile
                    kind = _kind(Path(f"/proc/{child}/cmdline").read_bytes())
                    found[kind] = max(found.get(kind, 0.0), peak_mb(child))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def _below(pid: str) -> list[str]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        todo += (children := [child for child, of in parents.items() if of == parent])
        found += children
    return found


def _kind(command: bytes) -> str:
    return "shares" if b"tasks.shares" in command else "run"


def of_a_run(bed: Bed) -> dict[str, float]:
    """Peaks in MB: `run`, the process that the worker starts; `shares`, its largest program; `worker`."""
    bed.cluster.power_cut()
    digest = bed.plan_anew()
    with peaks_below(bed.world.worker.pid) as found:
        bed.carry_out(digest)
    return {**found, "worker": peak_mb(bed.world.worker.pid)}


def of_the_shares_program(cluster: VaultCluster) -> float:
    """The peak in MB of the program alone, read between its last answer and its end; the cluster must be sealed."""
    job = {
        "do": "give",
        "address": cluster.address,
        "ca_file": str(cluster.ca_file),
        "threshold": cluster.threshold,
        "references": [f"file:{file}" for file in cluster.share_files],
        "joins": False,
    }
    peak = 0.0
    with shares_program(job) as program:
        while "ended" not in answer_of(program):
            peak = peak_mb(program.pid)
            tell(program, "go on")
    return peak
