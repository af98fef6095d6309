"""How long each way takes to unseal one cluster, and what was promised about that."""

from lab.bench_bed import Bed
from lab.bench_machine import load
from lab.bench_results import Bench
from lab.bench_rows import Goal, at_most, ratio
from lab.bench_ways import WAYS, Timing

SLOW = ("runbook, by the worker", "runbook, warm, with heartbeats")
"""Ways that are repeated less often: each takes seconds."""

WARM = ("runbook, warm, without Prefect", "runbook, warm, under Prefect")


def unsealing(bench: Bench, bed: Bed, nodes: str, times: int) -> None:
    """Every way by turns, after one round that is not counted."""
    timings: dict[str, list[Timing]] = {way: [] for way in WAYS}
    for turn in range(times + 1):
        print(f"unsealing {nodes}, {f'turn {turn} of {times}' if turn else 'to warm up'} …", flush=True)
        bench.loads.append(load())
        for way, unseal in WAYS.items():
            if way in SLOW and turn > bench.repeats.slow:
                continue
            with bench.part(f"{nodes}, turn {turn}, {way}"):
                timing = unseal(bed, bed.seal())
                if turn:
                    timings[way].append(timing)
    for way, found in timings.items():
        if found:
            report(bench, nodes, way, found)
    bench.goals += goals_of_one(bench) if len(bed.cluster.members) == 1 else goals_of_three(bench, timings)


def report(bench: Bench, nodes: str, way: str, found: list[Timing]) -> None:
    """The rows of one way, and its stages."""
    bench.row(f"{nodes}: {way}, until usable", "s", [one.usable - one.began for one in found])
    if way.startswith("runbook"):
        note = "Completed, then waits up to 1 s" if "heartbeats" in way else "all were told"
        bench.row(f"{nodes}: {way}, until it ended", "s", [one.ended - one.began for one in found], note)
    names = list(dict.fromkeys(name for one in found for name in one.stages))
    bench.stages[f"{nodes}: {way}"] = {name: [one.stages[name] for one in found] for name in names}


def goals_of_one(bench: Bench) -> list[Goal]:
    """No slower than the command line, which tells nobody."""
    baseline = bench.rows["one node: bao, the command line, until usable"]
    return [
        ratio(f"one node: {way}, {until} / command line", bench.rows[f"one node: {way}, {until}"], baseline, 1.0)
        for way in WARM
        for until in ("until usable", "until it ended")
    ]


def goals_of_three(bench: Bench, timings: dict[str, list[Timing]]) -> list[Goal]:
    """Hardly slower than the election, which nobody can speed up.

    Its length differs by more than a second from time to time: every run is compared with its own.
    """
    alone = [one.election_s for one in timings["bare hvac calls"]]
    bench.row("three nodes: the raft election alone", "s", alone, "most nodes open → settled")
    goals = []
    for way in WARM:
        usable = [one.above_election_s(one.usable) for one in timings[way]]
        whole = [one.above_election_s(one.ended) for one in timings[way]]
        for until, samples in (("until usable", usable), ("until it ended", whole)):
            name = f"three nodes: {way}, {until}, above its election"
            goals.append(at_most(name, bench.row(name, "s", samples), 0.5))
    return goals
