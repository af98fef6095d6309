"""Vault, by its API. Looking needs no credential; the shares for unsealing only the program `tasks.shares` holds."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from runbooks import sealed_vault
from runbooks.plan import Consent
from runbooks.report import Applied
from runbooks.sealed_vault import Finding
from runbooks.sealed_vault_facts import Facts
from runbooks.sealed_vault_steps import AwaitShares, ClearAttempt, GiveShares, Repair
from store.database import database
from store.settings import settings
from store.steps import carry_out
from store.targets import Interrupted
from tasks.vault.look import look_until
from tasks.vault.unseal import await_shares, clear_attempt, give_shares


@task(task_run_name="look at every node of {cluster}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
def read_facts(cluster: str, left: Interrupted | None = None) -> Facts:
    """What the cluster is like now. An election that is under way is waited for, as nobody would decide inside it.

    `left` is what an earlier run left half-done on this target.

    Raises: BadRequest (no such cluster, CA file unusable), StoreUnusable.
    """
    return look_until(cluster, left, lambda facts: sealed_vault.diagnose(facts) is not Finding.NO_LEADER)


@task(task_run_name="wait until {cluster} has settled and look again", retries=0, cache_policy=NO_CACHE)
def read_settled_facts(cluster: str) -> Facts:
    """What the cluster is like once it has a leader and all shares had their effect, or the longest wait is over."""
    return look_until(cluster, None, sealed_vault.settled)


@task(task_run_name="{step}", retries=0, cache_policy=NO_CACHE)
def apply(step: Repair, consent: Consent[Repair]) -> Applied:
    """Carry out one step of a plan that was agreed to. Doing it twice is harmless.

    Raises: StepFailed, with what stopped it.
    """
    assert consent.covers(step), "a step outside the approved plan"
    known = settings().cluster(consent.plan.target.partition("/")[2])
    with carry_out(database(), consent, step) as record:
        match step:
            case ClearAttempt():
                record.note = clear_attempt(step, known)
            case GiveShares():
                record.note = give_shares(step, known, record)
            case AwaitShares():
                record.note = await_shares(step, known, record)
    return record.applied()
