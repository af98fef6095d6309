"""After a run that failed: having the plan made that recovers from it, so that it is there when people come."""

import importlib
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from prefect.context import FlowRunContext
from prefect.deployments import run_deployment

from runbooks import catalogue
from runbooks.consent import Door, Origin
from runbooks.errors import RunbookError
from store.doors import entered, looking_only
from tasks import run_page
from tasks.without_prefect import without_prefect


def have_planned(name: str, parameters: Mapping[str, str], origin: Origin, why: str) -> None:
    """Have the runbook `name` look and plan: as a run of its own where Prefect can start one, else in this process.

    Nothing is changed by it. What goes wrong here is said and not raised: what happened before matters more.
    """
    asked = {**parameters, "reason": why}
    if FlowRunContext.get() is not None:
        with suppress(Exception):  # no deployment, no server: then here and now
            run: Any = run_deployment(
                f"{name}/{name}", parameters=asked, timeout=0, as_subflow=False, tags=_tags(origin)
            )
            run_page.say(f"{name} is making the plan that recovers from it: run {run.name}")
            return
    book = catalogue.runbook(name)
    module, _, function = book.entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), function)
    came = replace(origin, run=uuid.uuid4().hex, reason=why, name=f"{name} after {origin.run[:8]}", link="")
    tokens = entered.set(came), looking_only.set(True)
    try:
        with without_prefect():
            report = flow.fn(**asked)
        run_page.say(f"the plan that recovers from it:\n{report.plan}\n  runbook approve {report.plan.digest}")
    except RunbookError as error:
        run_page.say(f"{name} says: {error}")
    finally:
        entered.reset(tokens[0])
        looking_only.reset(tokens[1])


def _tags(origin: Origin) -> list[str]:
    known = origin.door in (Door.COMMAND_LINE, Door.SLACK, Door.TELEGRAM, Door.ALERT)
    return [f"by:{origin.person}", f"door:{origin.door}"] if known and origin.person else []
