"""What Prefect does not notice by itself: runs whose host died, and runs that never began.

`python -m deployments.automations`, with PREFECT_API_URL and the password set, makes them or brings them up to date;
run it after every `prefect deploy --all`. They only correct what Prefect shows. Whether a target is free is decided by
the store, which knows a dead holder by itself.
"""

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.server.schemas.states import StateType

SILENCE = timedelta(seconds=150)
"""How long a run may be silent: five of its heartbeats (PREFECT_FLOWS_HEARTBEAT_FREQUENCY in prefect-worker.env)."""

WAITING = timedelta(minutes=10)
"""How long a run that a worker has taken may take to begin."""

_ENDED = frozenset(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed"))


def automations(silence: timedelta = SILENCE, waiting: timedelta = WAITING) -> tuple[AutomationCore, ...]:
    """All of them. Prefect takes no time below 10 seconds."""
    return (
        _crashed_unless(
            "a run whose host died",
            "no sign of life; its host, its container or its worker died. `runbook status` says what it left behind",
            after="prefect.flow-run.heartbeat",
            expect=_ENDED | {"prefect.flow-run.heartbeat"},
            within=silence,
        ),
        _crashed_unless(
            "a run that never began",
            "a worker took it and did not start it. Nothing was looked at or changed; start it again",
            after="prefect.flow-run.Pending",
            expect=_ENDED | {"prefect.flow-run.Running"},
            within=waiting,
        ),
    )


def register(wanted: tuple[AutomationCore, ...]) -> None:
    """Make `wanted` on the server that the environment names; one that has the name already is replaced."""
    with get_client(sync_client=True) as prefect:
        for automation in wanted:
            found = prefect.read_automations_by_name(automation.name)
            if found:
                prefect.update_automation(found[0].id, automation)
            else:
                prefect.create_automation(automation)


def _crashed_unless(
    name: str, message: str, *, after: str, expect: frozenset[str], within: timedelta
) -> AutomationCore:
    trigger = EventTrigger(
        after={after},
        expect=set(expect),
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )
    crash = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    return AutomationCore(name=name, description=message, trigger=trigger, actions=[crash])


if __name__ == "__main__":
    register(automations())
