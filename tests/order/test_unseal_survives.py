"""`kill -9` at every point that a successor can tell apart; then the run is simply started again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.receivers import Receivers
from lab.vault import VaultCluster
from store import journal, outbox
from store.database import Database
from tests.conftest import environment_of
from tests.order.forked_runs import KILLED, Ended, Forked

MOST_WRITES = 60


def plan_and_carry_out(unseal: Forked, environment: dict[str, str]) -> Ended:
    """What a person does: look, and approve what is shown, if anything has to be done."""
    looked = unseal.run(environment)
    assert looked.reference == "", looked.error
    return unseal.run(environment, approve=looked.digest) if looked.ending == "awaits approval" else looked


def endings(db: Database) -> list[str]:
    """How the runs ended that were told, plans left out."""
    with db.read() as conn:
        rows = conn.exec_driver_sql("SELECT outcome FROM outcomes ORDER BY seq").scalars().all()
    found = [str(json.loads(row)["ending"]) for row in rows]
    return [ending for ending in found if ending != "awaits approval"]


def test_every_outage_is_told_and_the_same_plan_twice_within_one_is_not(
    unseal: Forked, told_vault: tuple[VaultCluster, Receivers], tmp_path: Path
) -> None:
    vault, receivers = told_vault
    environment = environment_of(vault, tmp_path) | {"RUNBOOK_TELEGRAM_API": receivers.address}
    vault.unseal()
    assert unseal.run(environment).ending == "nothing to do"
    receivers.clear()
    digests = set()
    for _ in range(2):
        vault.power_cut()
        looked = [unseal.run(environment) for _ in range(2)][-1]
        digests.add(looked.digest)
        assert unseal.run(environment, approve=looked.digest).ending == "done"
    assert len(digests) == 1, "the same outage has the same digest, and is approved anew all the same"
    told = [one["message"]["data"]["ending"] for one in receivers.arrived("webhook")]
    assert told == ["awaits approval", "done", "awaits approval", "done"]


def test_a_store_that_is_lost_in_the_middle_stops_the_run_and_is_told_past_it(
    unseal: Forked, told_vault: tuple[VaultCluster, Receivers], tmp_path: Path
) -> None:
    vault, receivers = told_vault
    environment = environment_of(vault, tmp_path) | {"RUNBOOK_TELEGRAM_API": receivers.address}
    vault.unseal()
    assert unseal.run(environment).ending == "nothing to do"  # Vault answers, so the credentials are kept for later
    vault.power_cut()
    receivers.clear()
    looked = unseal.run(environment)
    lost = unseal.run(environment, 4, "lost", approve=looked.digest)
    assert lost.reference == "store-full"
    for channel in ("slack", "telegram", "email", "webhook"):
        assert "store was lost in the middle" in json.dumps(receivers.arrived(channel)[-1]), channel
    again = plan_and_carry_out(unseal, environment)
    assert again.ending == "done", again.error
    assert vault.health() == {"vault-1": 200}


@pytest.mark.parametrize("number", range(8, 11))
def test_an_ending_that_the_store_did_not_take_is_told_past_it(
    unseal: Forked, told_vault: tuple[VaultCluster, Receivers], tmp_path: Path, number: int
) -> None:
    """From the last share on, over the verdict, to the record of the ending itself."""
    vault, receivers = told_vault
    environment = environment_of(vault, tmp_path) | {"RUNBOOK_TELEGRAM_API": receivers.address}
    vault.power_cut()
    looked = unseal.run(environment)
    receivers.clear()
    lost = unseal.run(environment, number, "lost", approve=looked.digest)
    assert lost.reference == "store-full", f"write {number} comes after the ending was recorded"
    assert vault.health() == {"vault-1": 200}
    (told,) = receivers.arrived("webhook")
    assert "store was lost in the middle" in json.dumps(told)


ALL = [pytest.param("before", 1, 1, marks=pytest.mark.long), pytest.param("after", 1, 1, marks=pytest.mark.long)]


@pytest.mark.parametrize(("when", "first", "every"), [("before", 1, 3), ("after", 2, 3), *ALL])
def test_a_run_killed_at_any_write_is_finished_by_starting_it_again(
    unseal: Forked, told_vault: tuple[VaultCluster, Receivers], tmp_path: Path, when: str, first: int, every: int
) -> None:
    vault, receivers = told_vault
    for number in range(first, MOST_WRITES, every):
        vault.power_cut()
        receivers.clear()
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = environment_of(vault, folder) | {"RUNBOOK_TELEGRAM_API": receivers.address}
        looked = unseal.run(environment)
        killed = unseal.run(environment, number, when, approve=looked.digest)
        if killed.status != KILLED:
            assert killed.ending == "done", killed.error
            break
        again = plan_and_carry_out(unseal, environment)
        assert again.ending in ("done", "nothing to do"), again.error
        check_aftermath(vault, receivers, environment)
    else:
        pytest.fail("the run never came to its end")
    assert number > 10, "a run writes more often than that"


def check_aftermath(vault: VaultCluster, receivers: Receivers, environment: dict[str, str]) -> None:
    """Healthy, no lock stuck, every outcome told once, and the journal whole."""
    assert vault.health() == {"vault-1": 200}
    db = Database.open(environment["RUNBOOK_STORE_URL"])
    try:
        assert journal.verify(db).faults == ()
        told = endings(db)
        assert told.count("done") <= 1
        assert len(told) <= 2
        if any(one.status == "queued" for one in outbox.standing(db)):
            with db.write() as conn:  # as if the time had passed in which a dead sender's letters are nobody else's
                conn.exec_driver_sql("UPDATE deliveries SET lease_until = 0")
            deliver(environment)
        assert {one.status for one in outbox.standing(db)} == {"sent"}
    finally:
        db.close()
    arrived = [one["message"]["data"]["ending"] for one in receivers.arrived("webhook")]
    assert sorted(end for end in arrived if end != "awaits approval") == sorted(told)


def deliver(environment: dict[str, str]) -> None:
    """What the timer does each minute, without waiting for the time of the next attempt."""
    command = [
        sys.executable,
        "-c",
        "from gateway.command_line import main; raise SystemExit(main(['deliver', '--now']))",
    ]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
