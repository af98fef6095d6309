"""Which plans were shown, who asked for them, and who agreed to what."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from runbooks.consent import Ballot, Door, Origin, Policy, Vote
from runbooks.errors import BadRequest
from runbooks.plan import PlanSheet
from store import journal
from store.database import Database
from store.schema import PLANS, VOTES


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """A plan that was shown and neither carried out nor forgotten, with the votes on it. Moments as in `Ballot`."""

    sheet: PlanSheet
    requester: str
    door: Door
    shown_at: float
    votes: tuple[Vote, ...]


def show(conn: Connection, sheet: PlanSheet, origin: Origin, *, valid_s: float = 1800) -> None:
    """Remember that `sheet` was shown now.

    Its requester is who asked for it first, as long as it was never out of sight for more than `valid_s` seconds (the
    policy's): asking for a plan again does not make its requester somebody who may approve it.
    """
    now, before = Database.now(conn), _plan(conn, sheet.digest)
    row: dict[str, Any] = {"requester": origin.person, "door": str(origin.door), "requested_at": now}
    if before and now - before["shown_at"] <= valid_s:
        row = {name: before[name] for name in row}
    row |= {"digest": sheet.digest, "shown_at": now, "parameters": journal.canonical(dict(origin.parameters))}
    if before:
        conn.execute(update(PLANS).where(PLANS.c.digest == sheet.digest).values(row))
    else:
        conn.execute(insert(PLANS).values(sheet=journal.canonical(sheet.document()), **row))
    journal.append(conn, event="planned", run=origin.run, target=sheet.target, data={**row, "sheet": sheet.document()})


def ballot(db: Database, policy: Policy, sheet: PlanSheet, approve: str | None) -> Ballot:
    """All that is known about who agreed, for a run that would carry out `sheet` now and was started with `approve`."""
    digest = approve or sheet.digest
    with db.read() as conn:
        plan, votes, now = _plan(conn, digest), _votes(conn, digest), db.now(conn)
    if plan is None:
        return Ballot(policy, now, approve, votes=votes)
    shown = PlanSheet.read(json.loads(plan["sheet"]))
    return Ballot(policy, now, approve, shown, plan["shown_at"], plan["requester"], votes)


def vote(db: Database, digest: str, person: str, door: Door, agrees: bool) -> PlanSheet:
    """Write down one person's last word on the plan `digest`; returns the plan. Raises: BadRequest `digest-unknown`."""
    if not person:
        raise ValueError("only doors that know who comes in take votes")
    with db.write() as conn:
        plan = _plan(conn, digest)
        if plan is None:
            raise _unknown(digest)
        row = {"digest": digest, "person": person, "door": str(door), "agrees": agrees, "at": db.now(conn)}
        conn.execute(delete(VOTES).where(VOTES.c.digest == digest, VOTES.c.person == person))
        conn.execute(insert(VOTES).values(row))
        sheet = PlanSheet.read(json.loads(plan["sheet"]))
        journal.append(conn, event="voted", target=sheet.target, data=row)
    return sheet


def parameters(db: Database, digest: str) -> dict[str, str]:
    """What the run that last showed the plan `digest` was asked with. Raises: BadRequest `digest-unknown`."""
    with db.read() as conn:
        plan = _plan(conn, digest)
    if plan is None:
        raise _unknown(digest)
    found: dict[str, str] = json.loads(plan["parameters"])
    return found


def spend(conn: Connection, digest: str) -> None:
    """Forget the plan and its votes, as it was carried out: the same plan must be shown and agreed to anew."""
    plan = _plan(conn, digest)
    if plan is None:
        return
    conn.execute(delete(VOTES).where(VOTES.c.digest == digest))
    conn.execute(delete(PLANS).where(PLANS.c.digest == digest))
    journal.append(conn, event="spent", target=json.loads(plan["sheet"])["target"], data={"digest": digest})


def open_plans(db: Database, *, within_s: float = 86_400) -> tuple[OpenPlan, ...]:
    """The plans shown within the last `within_s` seconds, newest first."""
    with db.read() as conn:
        recent = select(PLANS).where(PLANS.c.shown_at >= db.now(conn) - within_s).order_by(PLANS.c.shown_at.desc())
        return tuple(
            OpenPlan(
                PlanSheet.read(json.loads(plan["sheet"])),
                plan["requester"],
                Door(plan["door"]),
                plan["shown_at"],
                _votes(conn, plan["digest"]),
            )
            for plan in conn.execute(recent).mappings().all()
        )


def _unknown(digest: str) -> BadRequest:
    return BadRequest(
        "digest-unknown",
        f"no plan {digest[:40]!r} was shown here, or it was carried out already",
        hint="copy all twelve digits from the plan that you read; `runbook status` lists the open ones",
    )


def _plan(conn: Connection, digest: str) -> RowMapping | None:
    return conn.execute(select(PLANS).where(PLANS.c.digest == digest)).mappings().one_or_none()


def _votes(conn: Connection, digest: str) -> tuple[Vote, ...]:
    rows = conn.execute(select(VOTES).where(VOTES.c.digest == digest).order_by(VOTES.c.at, VOTES.c.person))
    return tuple(Vote(row.person, Door(row.door), row.agrees, row.at) for row in rows)
