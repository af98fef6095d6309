"""A dirty migration through a real Prefect server and worker, as people meet it, and as a pipeline does."""

import time
from typing import Any

import pytest

from lab.canaries import hunt
from lab.migrated import BUCKET
from lab.runs import Runs
from lab.world import World
from runbooks.consent import Door
from store import approvals
from store.database import Database

TARGET = "control-plane"
ASKED = {"database": TARGET, "direction": "", "deployed": "", "migrate": False, "approve": "", "reason": "a test"}
TWICE = "BEGIN;\nALTER TABLE nodes ADD COLUMN rack text;\nCOMMIT;\n"


@pytest.fixture(scope="module")
def runs(world: World) -> Runs:
    return Runs(world.prefect)


@pytest.fixture(scope="module")
def store(world: World) -> Database:
    return Database.open(world.environment()["RUNBOOK_STORE_URL"])


def version(world: World) -> list[tuple[Any, ...]]:
    with world.migrated.known[TARGET].connect() as conn:
        return conn.execute("SELECT version, dirty FROM schema_migrations").fetchall()


def newest_run_of(world: World, deployment: str) -> str:
    found = world.prefect.ask(f"deployments/name/{deployment}/{deployment}")
    asked = {"deployments": {"id": {"any_": [found["id"]]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
    newest = world.prefect.ask("flow_runs/filter", asked)
    return str(newest[0]["id"]) if newest else ""


def test_a_half_applied_migration_is_shown_approved_mended_and_leaks_nothing(world: World, runs: Runs) -> None:
    world.break_("migration", "committed-half")
    looked = runs.wait(runs.start("recover-dirty-migration", ASKED))
    assert looked.state == "COMPLETED", looked.message
    (plan,) = runs.artifacts(looked.id)
    for shown in (
        "## 041\\_zones.up.sql: statement 5 of 8 was the last that ran",
        "ran    3 | ALTER TABLE nodes ADD COLUMN zone text;",
        "not    7 | ALTER TABLE nodes ADD CONSTRAINT nodes_small",
        "| column public.nodes.zone | missing | text |",
        "ALTER TABLE public.nodes DROP COLUMN zone;",
        f"to `s3://{BUCKET}/migrations/control-plane-41-dirty-",
        "`UPDATE public.schema_migrations SET version = 41, dirty = true`",
    ):
        assert shown in plan, shown
    assert version(world) == [(41, True)]
    digest = plan.split("runbook approve ")[1][:12]
    done = runs.wait(runs.start("recover-dirty-migration", {**ASKED, "approve": digest}))
    assert done.state == "COMPLETED", done.message
    assert version(world) == [(40, False)]
    (outcome,) = runs.artifacts(done.id)
    assert outcome.count("| done |") == 3 and "pg\\_restore" not in outcome.split("## To undo")[0]
    assert "pg_restore --exit-on-error" in outcome, "how to restore the backup"
    assert sum(key.endswith(".dump") for key in world.s3.objects(BUCKET)) == 1
    hunted = hunt(world)
    assert hunted.found == () and hunted.secrets > 35


def test_a_failed_deployment_brings_a_finished_diagnosis(world: World, runs: Runs, store: Database) -> None:
    world.migrated.close()
    database = world.migrated.known[TARGET]
    (database.folder / "041_zones.up.sql").write_text(2 * TWICE)
    world.migrated.release(TARGET)
    failed = runs.wait(runs.start("run-migrations", {"database": TARGET, "approve": "", "reason": "a deployment"}))
    assert failed.state == "FAILED" and "ref: migrate-failed" in failed.message
    assert version(world) == [(41, True)]
    deadline = time.monotonic() + 60
    while not (plans := [one for one in approvals.open_plans(store) if one.sheet.finding == "partly-applied"]):
        assert time.monotonic() < deadline, "the plan that recovers from it did not come"
        time.sleep(0.1)
    assert plans[0].door is Door.PREFECT_UI and "statement 3 of 6" in plans[0].sheet.because
    followed = runs.wait(newest_run_of(world, "recover-dirty-migration"))
    assert followed.state == "COMPLETED", followed.message
    assert any("the up was running, says run" in line for line in plans[0].sheet.basis), "what the first run wrote down"
    arrived = [str(one["message"]) for one in world.receivers.arrived("webhook")]
    assert any("migrate-failed" in text for text in arrived) and any(plans[0].sheet.digest in text for text in arrived)
