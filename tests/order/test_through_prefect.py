"""Whole runs through a real Prefect server and worker, in the order in which people meet them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import prefect
import pytest

from lab.canaries import hunt
from lab.runs import Run, Runs
from lab.world import World
from store import journal, targets
from store.database import Database

HEALTHY, SEALED = [200, 429, 429], [503, 503, 503]


@pytest.fixture(scope="module")
def runs(world: World) -> Runs:
    return Runs(world.prefect)


@pytest.fixture(scope="module")
def store(world: World) -> Database:
    return Database.open(world.environment()["RUNBOOK_STORE_URL"])


def health(world: World) -> list[int]:
    return sorted(world.vault.health().values())


def run(runs: Runs, approve: str = "", cluster: str = "hoodcloud", **more: str) -> Run:
    return runs.wait(runs.start("unseal-vault", {"cluster": cluster, "approve": approve, "reason": "a test", **more}))


def runbook(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from gateway.command_line import main; sys.exit(main())", *words]
    environment = {**os.environ, **world.environment()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def wait_for(what: str, come: object, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not come():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)


def digest_shown(runs: Runs, looked: Run) -> str:
    (artifact,) = runs.artifacts(looked.id)
    return artifact.split("runbook approve ")[1][:12]


def test_the_version_of_prefect_is_the_one_that_was_proven() -> None:
    assert prefect.__version__ == "3.8.8"


BAD = {
    "a cluster that is none": ({"cluster": "no-such"}, "unknown-cluster"),
    "a digest that is not hex": ({"approve": "yes please!!"}, "digest-malformed"),
    "a digest of no plan": ({"approve": "0123456789ab"}, "digest-unknown"),
}


def test_bad_input_is_one_clear_line_and_changes_nothing(world: World, runs: Runs) -> None:
    world.break_("vault")
    told = len(world.receivers.arrived())
    for case, (asked, reference) in BAD.items():
        ended = run(runs, **asked)
        assert ended.state == "FAILED", case
        assert f"ref: {reference}" in ended.message, case
        assert "\n" not in ended.message, case
        wait_for("its log", lambda ended=ended: any("ref: " in line for line in runs.log(ended.id)))
        assert not any("Traceback" in line for line in runs.log(ended.id)), case
    assert health(world) == SEALED
    assert all(world.vault.client(name).seal_status["progress"] == 0 for name in world.vault.nodes)
    assert len(world.receivers.arrived()) == told


def test_a_plan_that_drifted_is_not_carried_out_and_the_difference_is_shown(world: World, runs: Runs) -> None:
    world.break_("vault")
    shown = digest_shown(runs, run(runs))
    world.vault.unseal(world.vault.members[:2])
    before = health(world)
    drifted = run(runs, approve=shown)
    assert drifted.state == "FAILED"
    assert "ref: plan-drifted" in drifted.message
    assert "- fact: vault-1 at" in drifted.message
    assert "- step 1: give vault-1" in drifted.message
    assert "+ finding: partly-sealed" in drifted.message
    assert health(world) == before == [200, 429, 503]
    assert run(runs, approve=digest_shown(runs, run(runs))).state == "COMPLETED"
    assert health(world) == HEALTHY


def test_two_runs_at_once_never_work_on_one_target(world: World, runs: Runs, store: Database) -> None:
    world.break_("vault")
    shown = digest_shown(runs, run(runs))
    first = [runs.start("unseal-vault", {"cluster": "hoodcloud", "approve": shown}) for _ in range(2)]
    ended = sorted((runs.wait(one) for one in first), key=lambda one: one.state)
    assert health(world) == HEALTHY
    assert ended[0].state == "COMPLETED"
    if ended[1].state == "FAILED":  # it came while the other was at work
        assert "ref: target-held" in ended[1].message
    assert journal.verify(store).faults == ()


def test_a_run_that_is_killed_leaves_no_lock_and_the_next_one_says_so(
    world: World, runs: Runs, store: Database
) -> None:
    world.break_("vault")
    shown = digest_shown(runs, run(runs))
    killed = runs.start("unseal-vault", {"cluster": "hoodcloud", "approve": shown})
    wait_for("its turn", lambda: targets.held(store, stale_s=30))
    os.kill(_process_of(killed), signal.SIGKILL)
    assert runs.wait(killed).state == "CRASHED"
    looked = run(runs)
    assert looked.state == "COMPLETED", looked.message
    if health(world) != HEALTHY:
        assert run(runs, approve=digest_shown(runs, looked)).state == "COMPLETED"
    assert health(world) == HEALTHY
    assert targets.held(store, stale_s=30) == ()


def _process_of(flow_run: str) -> int:
    """The process of the engine that carries out this run."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            arguments = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"PREFECT__FLOW_RUN_ID={flow_run}".encode() in variables and b"prefect" in arguments:
            return int(process.name)
    raise AssertionError(f"no process carries out {flow_run}")


def test_the_command_line_votes_and_starts_the_run_and_a_refusal_is_a_veto(world: World, runs: Runs) -> None:
    world.break_("vault")
    planned = runbook(world, "plan", "unseal-vault", "--json")
    assert planned.returncode == 0, planned.stderr
    digest = json_of(planned)["digest"]
    assert runbook(world, "refuse", str(digest)).returncode == 0
    vetoed = run(runs, approve=str(digest))
    assert "ref: plan-vetoed" in vetoed.message
    assert health(world) == SEALED
    approved = runbook(world, "approve", str(digest), "--reason", "a test", "--json")
    assert approved.returncode == 0, approved.stderr
    started = json_of(approved)
    ended = runs.wait(str(started["run"]))
    assert (ended.state, health(world)) == ("COMPLETED", HEALTHY)
    world.break_("vault")
    again = json_of(runbook(world, "plan", "unseal-vault", "--json"))["digest"]
    assert again == digest, "the same outage has the same digest"
    second = json_of(runbook(world, "approve", str(again), "--json"))
    assert second["run"] != started["run"], "an old run is not started anew"
    assert (runs.wait(str(second["run"])).state, health(world)) == ("COMPLETED", HEALTHY)
    assert started["link"] == f"{world.prefect.address}/v2/runs/flow-run/{started['run']}?tab=Artifacts"


def json_of(done: subprocess.CompletedProcess[str]) -> Mapping[str, object]:
    import json

    found: Mapping[str, object] = json.loads(done.stdout)
    return found


def test_an_active_schedule_starts_runs_and_a_healthy_vault_is_quiet(world: World, runs: Runs, store: Database) -> None:
    """Prefect's scheduler dies on SQLAlchemy 2.1; everything else goes on as if nothing were wrong."""
    world.vault.unseal()
    told = len(world.receivers.arrived())
    deployment = world.prefect.ask("deployments/name/unseal-vault/unseal-vault")["id"]
    every = {"interval": 10, "anchor_date": "2020-01-01T00:00:00Z"}
    schedule = {"schedule": every, "active": True, "max_scheduled_runs": 1}
    (made,) = world.prefect.ask(f"deployments/{deployment}/schedules", [schedule])
    asked = {"flow_runs": {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": ["COMPLETED"]}}}}
    try:
        wait_for("a scheduled run", lambda: world.prefect.ask("flow_runs/filter", asked), 90)
    finally:
        world.prefect.delete(f"deployments/{deployment}/schedules/{made['id']}")
    with store.read() as conn:
        doors = conn.exec_driver_sql("SELECT data FROM journal WHERE event = 'took'").scalars().all()
    assert any('"door":"schedule"' in door for door in doors)
    assert len(world.receivers.arrived()) == told


def test_no_secret_is_anywhere_after_all_of_this_with_everything_logged(world: World, tmp_path: Path) -> None:
    planted = tmp_path / "planted.log"
    planted.write_text(f"here it is: {world.secrets()[0]}\n")
    assert hunt(world, planted).found, "a hunt that finds nothing proves nothing"
    hunted = hunt(world)
    assert hunted.secrets > 20
    assert hunted.found == ()
