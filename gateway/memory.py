"""Commands that look into the store: what is held, what waits, what was told, and whether anybody changed it."""

import argparse
import re
from pathlib import Path

from sqlalchemy import make_url

from channels import deliver as voices
from gateway.printing import minutes, say_json, show
from runbooks.errors import BadRequest
from store import approvals, journal, outbox, targets
from store.database import Database, database
from store.settings import settings


def _existing_store() -> Database:
    """The store, if there is one: what only reads must not make an empty one and then say that all is well."""
    file = make_url(settings().store_url.get_secret_value())
    if file.drivername == "sqlite" and file.database and "uri" not in file.query and not Path(file.database).exists():
        raise BadRequest(
            "store-missing",
            f"there is no store {file.database}",
            hint="check RUNBOOK_STORE_URL and as whom you are here; the first run makes the store",
        )
    return database()


def status(asked: argparse.Namespace) -> None:
    """Print held targets, open plans and undelivered outcomes. Raises: StoreUnusable."""
    db = _existing_store()
    with db.read() as conn:
        now = db.now(conn)
    held = [
        {
            "target": one.target,
            "state": one.state,
            "runbook": one.runbook,
            "by": f"{one.person or 'somebody'} by {one.door}",
            "for": minutes(now - one.since),
            "step": one.step or "-",
            "run": one.link or one.run[:8],
        }
        for one in targets.held(db, stale_s=settings().heartbeat_stale_s)
    ]
    plans = [
        {
            "plan": one.sheet.digest,
            "runbook": one.sheet.runbook,
            "target": one.sheet.target,
            "finding": one.sheet.finding,
            "steps": len(one.sheet.steps),
            "asked_by": one.requester or "somebody",
            "votes": ", ".join(f"{vote.person} {'agrees' if vote.agrees else 'REFUSES'}" for vote in one.votes) or "-",
            "shown": f"{minutes(now - one.shown_at)} ago",
        }
        for one in approvals.open_plans(db)
    ]
    letters = [
        {"channel": one.channel, "status": one.status, "outcomes": one.count, "oldest": minutes(one.oldest_s)}
        for one in outbox.standing(db)
        if one.status != "sent"
    ]
    if asked.json:
        say_json({"store": db.place, "held": held, "plans": plans, "undelivered": letters})
        return
    print(f"store: {db.place}\n")
    show(held, as_json=False, empty="nothing is held", title="targets")
    show(plans, as_json=False, empty="nothing waits for approval", title="plans")
    show(letters, as_json=False, empty="everything was delivered", title="outcomes")


def deliver(asked: argparse.Namespace) -> int:
    """Send what waits. Exit code 6 when something still waits afterwards, 7 when something was given up for good."""
    db = _existing_store()
    for letter, does in ((asked.resend, outbox.resend), (asked.drop, outbox.drop)):
        if letter and not does(db, letter, asked.channel):
            raise BadRequest(
                "letter-unknown",
                f"nothing that was given up has the id {letter[:60]!r}",
                hint="`runbook deliver --dead` lists the ids",
            )
    if not asked.dead:
        results = voices.deliver(db, settings(), deadline_s=asked.at_most, ignore_backoff=asked.now)
        show([one.row() for one in results], as_json=asked.json, empty="nothing was due", title="")
    dead = [
        {"id": one.id, "channel": one.channel, "run": one.run[:8], "why": one.why, "outcome": one.outcome.title}
        for one in outbox.dead_letters(db)
    ]
    if asked.dead or (dead and not asked.json):
        show(
            dead,
            as_json=asked.json,
            empty="nothing was given up",
            title="given up; `runbook deliver --resend ID` tries again",
        )
    waiting = sum(one.count for one in outbox.standing(db) if one.status == "queued")
    if waiting and not asked.json and not asked.dead:
        print(f"{waiting} still wait for the time of their next attempt; `runbook deliver --now` does not")
    return 7 if dead else 6 if waiting else 0


def audit(asked: argparse.Namespace) -> int:
    """Prove that the journal is as it was written. Exit code 7 when it is not."""
    if asked.head and not re.fullmatch(r"[0-9a-f]{6,64}", asked.head):
        raise BadRequest("head-malformed", f"{asked.head[:70]!r} is no journal head", hint="copy it from the message")
    found = journal.verify(_existing_store(), known_head=asked.head)
    if asked.json:
        say_json({"rows": found.rows, "head": found.head, "faults": found.faults})
    elif found.faults:
        print(f"the journal of {found.rows} rows was tampered with or damaged:")
        print(*(f"  - {fault}" for fault in found.faults), sep="\n")
        print("  next: keep the file as it is, restore the last backup beside it, and compare the two")
    else:
        print(f"the journal is whole: {found.rows} rows, head {found.head[:12]}")
    return 7 if found.faults else 0
