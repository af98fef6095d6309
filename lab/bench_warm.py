"""A warm process for `make bench`: all is imported, and a line on standard input makes it run the runbook.

python -m lab.bench_warm, with the settings of a run in its environment. A line is {"way": …, "approve": DIGEST or ""};
the answer says when the call began and returned (seconds since 1970) and which plan it was about.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from channels import credentials
from flows.unseal_vault import unseal_vault
from runbooks.consent import Door, Origin
from runbooks.errors import RunbookError
from store.doors import entered
from store.settings import settings
from tasks.without_prefect import without_prefect

Ways = dict[str, Callable[[str], Any]]


def with_heartbeats(approve: str) -> Any:
    """A call of the flow under Prefect, which says every while that the run is alive and takes 1 s to stop doing so."""
    return unseal_vault(approve=approve, reason="bench")


def under_prefect(approve: str) -> Any:
    """The same with Prefect's heartbeats turned off."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return with_heartbeats(approve)


def break_glass(approve: str) -> Any:
    """With no Prefect anywhere, as `runbook break-glass` does it."""
    token = entered.set(Origin(uuid.uuid4().hex, Door.BREAK_GLASS, "bench", "bench"))
    try:
        with without_prefect():
            return unseal_vault.fn(approve=approve, reason="bench")
    finally:
        entered.reset(token)


WAYS: Ways = {"break-glass": break_glass, "under Prefect": under_prefect, "with heartbeats": with_heartbeats}


def run(way: str, approve: str) -> dict[str, Any]:
    """One call, and when it was made."""
    began = time.time()
    try:
        report = WAYS[way](approve)
    except RunbookError as error:
        return {"error": f"{error.message} [{error.reference}]"}
    return {"began": began, "returned": time.time(), "ending": report.ending, "digest": report.plan.digest}


def main() -> None:
    """Fills the cache of the channels, as any earlier run would have; then a run for each line, until there is none."""
    known = credentials.read(settings())
    print(json.dumps({"channels": known.configured}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
