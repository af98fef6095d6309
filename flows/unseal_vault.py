"""Bring a sealed Vault back. When and why: runbooks/sealed_vault.md"""

from prefect import flow

from runbooks import sealed_vault
from runbooks.report import Report
from runbooks.sealed_vault_steps import Repair
from tasks import vault
from tasks.run_page import sentence
from tasks.turn import hold


@flow(name="unseal-vault", flow_run_name=sentence, retries=0)
def unseal_vault(cluster: str = "hoodcloud", approve: str = "", reason: str = "") -> Report[Repair]:
    """Without `approve`, look and plan: nothing is changed. With a plan's digest, carry out that plan and no other.

    Args:
        cluster: Which Vault cluster. The names are in the settings; HoodCloud's own is hoodcloud.
        approve: Empty: look and plan, change nothing. The 12 digits of a plan that you read: carry out that plan.
            If the world has changed since you read it, nothing is done and the difference is shown.
        reason: Why you run this, in your words. It is written into the record and into the messages.
    """
    with hold("unseal-vault", f"vault/{cluster}", reason) as turn:
        before = vault.read_facts(cluster, turn.interrupted)
        plan = sealed_vault.plan(before)
        consent = turn.consent(plan, approve)
        if consent is None:
            return turn.tell(Report(plan))
        applied = tuple(vault.apply(step, consent) for step in plan.steps)
        after = vault.read_settled_facts(cluster)
        return turn.tell(Report(plan, applied, sealed_vault.verify(after, plan), sealed_vault.warning(after)))
