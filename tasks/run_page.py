"""What a run shows of itself on its page in Prefect, and what that page knows of whoever started it.

Where there is no Prefect, everything here does nothing, and the door says who came in (`store.doors`).
"""

import json
import sys
import urllib.parse
import uuid
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime

from runbooks.consent import Door, Origin, Policy
from runbooks.errors import RunbookError
from runbooks.exhibit import Exhibit
from runbooks.plan import PlanSheet
from runbooks.report import Ending, Outcome
from store.doors import entered
from store.settings import settings
from tasks.page_text import outcome_text, plan_text, stop_text


def sentence() -> str:
    """The name of a run, to read in a list: what it is about and whether it may change anything."""
    parameters = dict(runtime.parameters)
    approve = "".join(str(parameters.pop("approve", "")).split())
    target = next(iter(parameters.values()), "")  # a flow's first parameter names its target
    return f"{runtime.flow_name} {target}: " + (f"carry out plan {approve[:12]}" if approve else "look and plan")


def origin(reason: str) -> Origin:
    """Who started this run, by which door, and where it can be watched.

    The command line and the chats write who it was into the run's tags (`by:…`, `door:…`). Who comes by the UI is not
    known: Prefect's open-source server has no users.
    """
    known = entered.get()
    if known is not None:
        return known
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return Origin(uuid.uuid4().hex, Door.BREAK_GLASS, reason=reason)
    run = context.flow_run
    tags = dict(tag.split(":", 1) for tag in run.tags if ":" in tag)
    by_schedule = run.auto_scheduled or (run.created_by is not None and run.created_by.type == "SCHEDULE")
    door = Door.SCHEDULE if by_schedule else _door(tags.get("door", ""))
    asked = {name: value for name, value in (context.parameters or {}).items() if name not in ("approve", "reason")}
    return Origin(
        run=run.id.hex,
        door=door,
        person=tags.get("by", ""),
        reason=reason,
        name=run.name,
        # the tab with the plan and the outcome; the log, with which the page opens, begins with ten lines of Prefect's
        link=f"{settings().browser_url}/v2/runs/flow-run/{run.id}?tab=Artifacts",
        parameters=tuple(sorted((name, str(value)) for name, value in asked.items())),
    )


def show_plan(sheet: PlanSheet, policy: Policy) -> None:
    """Put the plan on the run's page, with the way to approve it, and into its log."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    form = _form(context, sheet.digest)
    log = get_run_logger(context)
    log.info("plan %s\n%s", sheet.digest, sheet)
    if form:
        # an address in the log can be clicked
        log.info("nothing was changed; to carry out plan %s, open this and press Submit:\n%s", sheet.digest, form)
    # without a key, its card on the run's page opens this very artifact and not a list of all runs' plans
    text = plan_text(sheet, policy, form, _deployment(context))
    create_markdown_artifact(text, description=f"Plan {sheet.digest}: what would be done")


def show_outcome(outcome: Outcome, exhibits: tuple[Exhibit, ...] = ()) -> None:
    """Put the ending on the run's page, with evidence, and into its log."""
    context = FlowRunContext.get()
    if context is None or outcome.ending is Ending.AWAITS_APPROVAL:
        return
    log = get_run_logger(context)
    for line in outcome.lines:
        log.info("%s: %s%s", line.state, line.step, f" ({line.note})" if line.note else "")
    log.info("%s: %s", outcome.title, outcome.summary)
    create_markdown_artifact(
        outcome_text(outcome, _deployment(context), exhibits),
        description=f"{outcome.ending.capitalize()}: {outcome.summary}"[:250],
    )


def form(sheet: PlanSheet, policy: Policy) -> str:
    """The run form with the digest filled in; empty where there is none or where a typed digest does not count."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not policy.of(sheet).typed_digest_counts:
        return ""
    return _form(context, sheet.digest)


def say(text: str) -> None:
    """Say how far a long step is: in the run's log, or on the terminal where there is no Prefect."""
    context = FlowRunContext.get()
    if context is None:
        print(text, file=sys.stderr, flush=True)
    else:
        get_run_logger().info(text)


def show_stop(error: RunbookError, page: str) -> None:
    """Put a mistake in what was asked for on the run's page; `page` explains it. Nobody else is told of it."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        create_markdown_artifact(stop_text(error, page), description=f"Stopped: {error.message}"[:250])


def _door(said: str) -> Door:
    return Door(said) if said in set(Door) - {Door.BREAK_GLASS, Door.SCHEDULE} else Door.PREFECT_UI


def _deployment(context: FlowRunContext) -> str:
    run = context.flow_run
    if run is None or run.deployment_id is None:
        return ""
    return f"{settings().browser_url}/v2/deployments/deployment/{run.deployment_id}"


def _form(context: FlowRunContext, digest: str) -> str:
    deployment = _deployment(context)
    values: dict[str, Any] = {**(context.parameters or {}), "approve": digest}
    # all parameters: what the address leaves out, the form fills from the flow's defaults, not the deployment's
    filled = urllib.parse.quote(json.dumps(values), safe="")
    return f"{deployment}/run?parameters={filled}" if deployment else ""
