"""Mend a database that a failed migration left dirty. When and why: runbooks/dirty_migration.md"""

from prefect import flow

from runbooks import dirty_migration
from runbooks.dirty_migration_facts import asked_with
from runbooks.dirty_migration_steps import Repair
from runbooks.report import Report
from tasks import migrations
from tasks.run_page import sentence
from tasks.turn import hold


@flow(name="recover-dirty-migration", flow_run_name=sentence, retries=0)
def recover_dirty_migration(
    database: str = "control-plane",
    direction: str = "",
    deployed: str = "",
    migrate: bool = False,
    approve: str = "",
    reason: str = "",
) -> Report[Repair]:
    """Without `approve`, look and plan: nothing is changed. With a plan's digest, carry out that plan and no other.

    Args:
        database: Which database. The names are in the settings; HoodCloud's are control-plane and payment-service.
        direction: Usually empty. up or down: which way the migrator was going, where the plan asks for it.
        deployed: Usually empty. The digits by which you confirm that the files are the deployed ones, where the plan
            asks for them.
        migrate: Whether to run the migrate command afterwards, to the newest version.
        approve: Empty: look and plan, change nothing. The 12 digits of a plan that you read: carry out that plan.
            If the world has changed since you read it, nothing is done and the difference is shown.
        reason: Why you run this, in your words. It is written into the record and into the messages.
    """
    with hold("recover-dirty-migration", f"database/{database}", reason) as turn:
        asked = asked_with(direction, deployed, migrate=migrate)
        before = migrations.read_facts(database, asked, turn.run, turn.interrupted)
        plan = dirty_migration.plan(before)
        consent = turn.consent(plan, approve)
        if consent is None:
            return turn.tell(Report(plan))
        applied = tuple(migrations.apply(step, consent, before) for step in plan.steps)
        after = migrations.read_facts_again(database, before)
        return turn.tell(Report(plan, applied, dirty_migration.verify(after, plan), dirty_migration.warning(after)))
