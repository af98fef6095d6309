"""Commands that vote on a plan, and start its run once that is enough."""

import argparse

from gateway.person import person
from gateway.prefect_api import start_run
from gateway.printing import say_json
from runbooks import catalogue
from runbooks.consent import Door
from runbooks.errors import NotApproved
from runbooks.plan import read_digest
from store import approvals, targets
from store.database import database
from store.settings import settings


def approve(asked: argparse.Namespace) -> None:
    """Agree to a plan; start its run when the policy has what it asks for. Raises: RunbookError."""
    db, digest, who = database(), read_digest(asked.digest), person()
    sheet = approvals.vote(db, digest, who, Door.COMMAND_LINE, agrees=True)
    book = catalogue.runbook(sheet.runbook)
    try:
        agreed = approvals.ballot(db, settings().policy(book), sheet, digest).agreed(sheet)
    except NotApproved as error:
        if error.reference != "approval-missing":
            raise
        _say(
            asked,
            {"plan": digest, "voted": who, "started": False, "why": error.message},
            f"{error.message}\n  next: {error.hint}",
        )
        return
    if asked.no_start:
        _say(
            asked,
            {"plan": digest, "voted": who, "started": False},
            f"{who} agrees to {digest}; not started, as you asked",
        )
        return
    run = start_run(settings(), book, approvals.parameters(db, digest), digest=digest, who=who, reason=asked.reason)
    said = {
        "plan": digest,
        "voted": who,
        "agreed": list(agreed or ()),
        "started": True,
        "run": run.id,
        "link": run.link,
    }
    _say(asked, said, f"{sheet}\n\nstarted: {run.name}\n  {run.link}")


def refuse(asked: argparse.Namespace) -> None:
    """Veto a plan until you agree after all or it expires. Raises: BadRequest."""
    digest, who = read_digest(asked.digest), person()
    sheet = approvals.vote(database(), digest, who, Door.COMMAND_LINE, agrees=False)
    at_work = [
        one for one in targets.held(database(), stale_s=settings().heartbeat_stale_s) if one.target == sheet.target
    ]
    said = {"plan": digest, "voted": who, "refused": True, "at_work": bool(at_work)}
    then = "no run will begin it"
    if at_work:
        where = at_work[0].link or at_work[0].run[:8]
        then = f"but a run is at work on {sheet.target} NOW ({where}); to stop that, cancel it"
    _say(asked, said, f"{who} refuses plan {digest} of {sheet.runbook} for {sheet.target}: {then}")


def _say(asked: argparse.Namespace, said: dict[str, object], text: str) -> None:
    if asked.json:
        say_json(said)
    else:
        print(text)
