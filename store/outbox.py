"""Outcomes on their way to people: written down in the transaction that made them true, sent by whoever has the time.

Every outcome is one letter per channel. What arrives, arrives at least once: a worker that dies between sending and
writing it down is followed by another one that sends again.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from runbooks.report import Ending, Outcome
from store import approvals, journal
from store.database import Database
from store.replay import HEAD_DIGITS
from store.schema import DELIVERIES, OUTCOMES
from store.targets import Turn

_LOOK_BACK = 200
"""Outcomes that are looked at for a repetition; one that lies further back is told again."""

CHANNELS = ("slack", "telegram", "email", "webhook")


@dataclass(frozen=True, slots=True)
class Letter:
    """One outcome on its way by one channel. `id` is the same over all attempts and channels; `attempt` counts from 1.

    `claim` fences a worker off from its successor; `why` is what the last attempt met.
    """

    id: str
    channel: str
    run: str
    seq: int
    attempt: int
    claim: int
    outcome: Outcome
    created_at: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many letters of one channel are in one status (queued, sent, dead, skipped).

    `oldest_s` is the age of the oldest of them, seconds.
    """

    channel: str
    status: str
    count: int
    oldest_s: float


def enqueue(conn: Connection, outcome: Outcome, *, dedup: str, silent: bool = False) -> str | None:
    """Journal `outcome` (`told`) and put it in line for every channel; its id, or None when `dedup` was here before.

    `silent`: it is journaled and goes to nobody.
    """
    if conn.execute(select(OUTCOMES.c.id).where(OUTCOMES.c.dedup == dedup)).first():
        return None
    letter_id = hashlib.sha256(dedup.encode()).hexdigest()[:32]
    run, target = outcome.origin.run, outcome.target
    data = {"id": letter_id, "dedup": dedup, "outcome": replace(outcome, head="").document()}
    head = journal.append(conn, event="told", run=run, target=target, data=data)[:HEAD_DIGITS]
    document = journal.canonical(replace(outcome, head=head).document())
    row = {"id": letter_id, "dedup": dedup, "run": run, "at": Database.now(conn), "outcome": document}
    seq = conn.execute(insert(OUTCOMES).values(row).returning(OUTCOMES.c.seq)).scalar_one()
    letter = {"outcome": letter_id, "seq": seq, "run": run, "status": "queued"}
    if not silent:
        conn.execute(insert(DELIVERIES), [{**letter, "channel": channel} for channel in CHANNELS])
    return letter_id


def record(
    db: Database, turn: Turn, outcome: Outcome, *, dedup: str, spend: str = "", silent: bool = False
) -> str | None:
    """The one transaction that ends a run: outcome journaled and in line, the votes on plan `spend` spent, target free.

    Returns the outcome's id, or None when `dedup` was here before. Raises: StoreUnusable; then either nothing of it was
    done or, where only the server's answer was lost, all of it: doing it again with the same `dedup` is safe.
    """
    with db.write() as conn:
        letter_id = enqueue(conn, outcome, dedup=dedup, silent=silent)
        if spend:
            approvals.spend(conn, spend)
        turn.release(conn, settled=outcome.ending in (Ending.DONE, Ending.NOTHING_TO_DO))
    return letter_id


def repeats(db: Database, outcome: Outcome, *, within_s: float) -> bool:
    """Whether people heard the same of this target within the last `within_s` seconds, and nothing else came since."""
    told = select(DELIVERIES.c.outcome).where(DELIVERIES.c.outcome == OUTCOMES.c.id).exists()
    newest = select(OUTCOMES.c.outcome, OUTCOMES.c.at, told).order_by(OUTCOMES.c.seq.desc()).limit(_LOOK_BACK)
    with db.read() as conn:
        now = db.now(conn)
        for document, at, was_told in conn.execute(newest):
            before = Outcome.read(json.loads(document))
            if before.target != outcome.target:
                continue
            if (before.ending, before.finding, before.digest) != (outcome.ending, outcome.finding, outcome.digest):
                return False
            if was_told:
                return bool(now - at <= within_s)
    return False


def claim(
    db: Database, channel: str, *, run: str | None = None, lease_s: float, ignore_backoff: bool = False
) -> Letter | None:
    """Take up the next letter of `channel` (of `run`, if given) for `lease_s` seconds, or None.

    A run's letters leave in order: a later one waits while an earlier one is queued.
    """
    letter, earlier = DELIVERIES, DELIVERIES.alias("earlier")
    blocked = select(earlier.c.seq).where(
        earlier.c.channel == channel,
        earlier.c.run == letter.c.run,
        earlier.c.status == "queued",
        earlier.c.seq < letter.c.seq,
    )
    with db.write() as conn:
        now = db.now(conn)
        line = _letters().where(letter.c.channel == channel, letter.c.status == "queued", letter.c.lease_until <= now)
        line = line.where(~blocked.exists()).order_by(letter.c.seq).limit(1)
        if run is not None:
            line = line.where(letter.c.run == run)
        if not ignore_backoff:
            line = line.where(letter.c.next_at <= now)
        row = conn.execute(line).mappings().one_or_none()
        if row is None:
            return None
        taken = {"attempt": row["attempt"] + 1, "claims": row["claims"] + 1}
        mine = update(DELIVERIES).where(letter.c.outcome == row["id"], letter.c.channel == channel)
        conn.execute(mine.values(lease_until=now + lease_s, **taken))
        return _letter({**row, **taken})


def sent(db: Database, letter: Letter) -> bool:
    """It arrived. False when somebody else took the letter up meanwhile: then nothing is written."""
    return _settle(db, letter, status="sent", why="")


def retry(db: Database, letter: Letter, *, after_s: float, why: str) -> bool:
    """It did not arrive; again in `after_s` seconds. False as in `sent`."""
    return _settle(db, letter, after_s=after_s, why=why)


def dead(db: Database, letter: Letter, why: str) -> bool:
    """It will never arrive as it is. False as in `sent`."""
    return _settle(db, letter, status="dead", why=why)


def skip(db: Database, letter: Letter, why: str) -> bool:
    """The channel is not configured. False as in `sent`."""
    return _settle(db, letter, status="skipped", why=why)


def standing(db: Database) -> tuple[Standing, ...]:
    """How the outbox stands, by channel and status."""
    columns = (DELIVERIES.c.channel, DELIVERIES.c.status)
    query = select(*columns, func.count(), func.min(OUTCOMES.c.at)).join(OUTCOMES).group_by(*columns).order_by(*columns)
    with db.read() as conn:
        now = db.now(conn)
        return tuple(Standing(channel, status, count, now - at) for channel, status, count, at in conn.execute(query))


def dead_letters(db: Database) -> tuple[Letter, ...]:
    """What was given up, oldest first, each with its reason."""
    query = _letters().where(DELIVERIES.c.status == "dead").order_by(DELIVERIES.c.seq, DELIVERIES.c.channel)
    with db.read() as conn:
        return tuple(_letter(dict(row)) for row in conn.execute(query).mappings())


def resend(db: Database, letter_id: str, channel: str | None = None) -> int:
    """Put dead and skipped letters of one outcome in line again, from attempt 1. Returns how many."""
    again = update(DELIVERIES).where(DELIVERIES.c.outcome == letter_id, DELIVERIES.c.status.in_(("dead", "skipped")))
    if channel is not None:
        again = again.where(DELIVERIES.c.channel == channel)
    with db.write() as conn:
        return conn.execute(again.values(status="queued", attempt=0, next_at=0.0, lease_until=0.0)).rowcount


def drop(db: Database, letter_id: str, channel: str | None = None) -> int:
    """Let go of what was given up of one outcome: it is not listed any more. Returns how many."""
    dead = update(DELIVERIES).where(DELIVERIES.c.outcome == letter_id, DELIVERIES.c.status == "dead")
    if channel is not None:
        dead = dead.where(DELIVERIES.c.channel == channel)
    with db.write() as conn:
        return conn.execute(dead.values(status="skipped", why="let go by a person")).rowcount


def _letters() -> Select[Any]:
    columns = (OUTCOMES.c.id, DELIVERIES.c.channel, DELIVERIES.c.run, DELIVERIES.c.seq, DELIVERIES.c.attempt)
    return select(*columns, DELIVERIES.c.claims, DELIVERIES.c.why, OUTCOMES.c.outcome, OUTCOMES.c.at).join(OUTCOMES)


def _letter(row: dict[str, Any]) -> Letter:
    outcome = Outcome.read(json.loads(row.pop("outcome")))
    return Letter(claim=row.pop("claims"), created_at=row.pop("at"), outcome=outcome, **row)


def _settle(db: Database, letter: Letter, *, after_s: float = 0.0, why: str, status: str = "queued") -> bool:
    mine = update(DELIVERIES).where(
        DELIVERIES.c.outcome == letter.id,
        DELIVERIES.c.channel == letter.channel,
        DELIVERIES.c.status == "queued",
        DELIVERIES.c.claims == letter.claim,
    )
    with db.write() as conn:
        now = db.now(conn)
        values = {"status": status, "why": why, "lease_until": 0.0, "next_at": now + after_s, "done_at": now}
        return conn.execute(mine.values(values)).rowcount == 1
