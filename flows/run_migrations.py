"""Bring a database to its newest version before a deployment. When and why: runbooks/pending_migrations.md"""

from prefect import flow

from runbooks import pending_migrations
from runbooks.dirty_migration_steps import RunMigrate
from runbooks.report import Report
from tasks import migrations
from tasks.run_page import sentence
from tasks.turn import hold


@flow(name="run-migrations", flow_run_name=sentence, retries=0)
def run_migrations(database: str = "control-plane", approve: str = "", reason: str = "") -> Report[RunMigrate]:
    """Run the migrate command if there is something to run; a failure makes the plan that recovers from it.

    Args:
        database: Which database. The names are in the settings; HoodCloud's are control-plane and payment-service.
        approve: Usually empty: whoever starts a deployment has agreed to its migrations, if the policy says so.
            Else the 12 digits of a plan that you read.
        reason: Why you run this, in your words. It is written into the record and into the messages.
    """
    with hold("run-migrations", f"database/{database}", reason) as turn:
        before = migrations.read_version(database)
        plan = pending_migrations.plan(before)
        consent = turn.consent(plan, approve)
        if consent is None:
            return turn.tell(Report(plan))
        applied = tuple(migrations.apply(step, consent, before) for step in plan.steps)
        after = migrations.read_version(database)
        return turn.tell(Report(plan, applied, pending_migrations.verify(after, plan)))
