"""One lock per target, over all runbooks and all doors, with a number that only grows.

Who takes a target gets the next number, its *fence*. Whoever acts proves right before that its fence is still the
newest: a process that was frozen for an hour and wakes up finds that it may not any more.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, RowMapping, Update, insert, select, update

from runbooks.consent import Origin
from runbooks.errors import StepFailed, StoreUnusable
from store import journal
from store.database import Database
from store.held import BEATS, Held, Life, held_by
from store.holder import Process
from store.schema import TARGETS
from store.trail import trail


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What an earlier run left half-done: it died, or a step of it failed. Kept until a run finds the target well.

    `step` was begun and not finished, empty when the run died between two; `since` is when it took the target.
    """

    run: str
    runbook: str
    step: str
    remarks: dict[str, str]
    since: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A run's turn on its target, from `hold`."""

    db: Database
    target: str
    runbook: str
    origin: Origin
    fence: int
    interrupted: Interrupted | None

    @property
    def run(self) -> str:
        """The run that holds the target."""
        return self.origin.run

    def check(self) -> None:
        """Prove, right before something outside is changed, that the turn is still this run's.

        Raises: StepFailed `turn-lost`, StoreUnusable.
        """
        with self.db.write() as conn:
            prove(conn, self.target, self.fence)

    def release(self, conn: Connection, *, settled: bool = False) -> None:
        """Give the target back within the caller's transaction; harmless when it is not ours any more.

        `settled`: the target was looked at and is as it should be, so what earlier runs left is history.
        """
        row = _newest(conn, self.target)
        if row is None or (row["state"], row["fence"]) != ("held", self.fence):
            return
        left = None if settled else _left_by(conn, row, died=False)
        conn.execute(_mine(self.target, self.fence).values(state="free", interrupted=_written(left)))
        data = {"runbook": self.runbook, "settled": settled}
        journal.append(conn, event="released", run=self.run, target=self.target, fence=self.fence, data=data)


def prove(conn: Connection, target: str, fence: int) -> None:
    """Prove that the turn `fence` on `target` is the newest, and start its time of silence anew.

    Raises: StepFailed `turn-lost`.
    """
    if not _beat(conn, target, fence):
        raise StepFailed(
            "turn-lost",
            f"this run's turn {fence} on {target} is over: it was silent for too long, and another run may be at work",
            hint=f"do nothing more here; `runbook status` shows who holds {target} now",
        )


@contextmanager
def hold(db: Database, *, target: str, runbook: str, origin: Origin, stale_s: float) -> Iterator[Turn]:
    """Hold `target` for the length of the body.

    A holder that is provably dead is followed at once, any other when it was silent for `stale_s` seconds (or for as
    long as it said itself that it might be).

    Raises: TargetHeld `target-held`, StoreUnusable.
    """
    with db.write() as conn:
        fence, interrupted = _take(conn, target, runbook, origin, stale_s)
    turn, over = Turn(db, target, runbook, origin, fence, interrupted), threading.Event()
    beating = (turn, over, stale_s / BEATS)
    threading.Thread(target=_keep_beating, args=beating, daemon=True, name=f"hold {target}").start()
    try:
        yield turn
    except BaseException:
        over.set()
        with suppress(StoreUnusable):  # what stopped the body matters more; silence frees the target soon
            _leave(turn)
        raise
    over.set()
    _leave(turn)


def held(db: Database, *, stale_s: float) -> tuple[Held, ...]:
    """All targets that are held now, the longest first. `stale_s` as for `hold`."""
    with db.read() as conn:
        now = db.now(conn)
        rows = conn.execute(select(TARGETS).where(TARGETS.c.state == "held").order_by(TARGETS.c.since)).mappings().all()
        return tuple(held_by(conn, row, now, stale_s) for row in rows)


def _take(
    conn: Connection, target: str, runbook: str, origin: Origin, stale_s: float
) -> tuple[int, Interrupted | None]:
    now, before, event = Database.now(conn), _newest(conn, target), "took"
    came = {"runbook": runbook, "door": str(origin.door), "person": origin.person, "reason": origin.reason}
    if before is None:
        fence, interrupted = 1, None
        conn.execute(insert(TARGETS).values(target=target))
    else:
        fence, interrupted = before["fence"] + 1, _read(before["interrupted"])
        if before["state"] == "held":
            holder = held_by(conn, before, now, stale_s)
            if holder.state is not Life.DEAD:
                raise holder.refusal(now)
            interrupted = _left_by(conn, before, died=True)
            event, came = "took-over", {**came, "from": before["run"]}
    row = {"fence": fence, "state": "held", "since": now, "heartbeat_at": now, "stale_s": stale_s}
    row |= {"run": origin.run, "run_name": origin.name, "runbook": runbook, "door": origin.door}
    row |= {"person": origin.person, "link": origin.link, "process": Process.this().written()}
    row |= {"interrupted": _written(interrupted)}
    conn.execute(update(TARGETS).where(TARGETS.c.target == target).values(row))
    journal.append(conn, event=event, run=origin.run, target=target, fence=fence, data=came)
    return fence, interrupted


def _left_by(conn: Connection, row: RowMapping, *, died: bool) -> Interrupted | None:
    """What the holder `row` leaves to the next, and what was left to it: the newest step that was begun counts."""
    own, inherited = trail(conn, row["run"], row["target"], row["fence"]), _read(row["interrupted"])
    if not died and not own.begun:
        return inherited
    remarks = {**(inherited.remarks if inherited else {}), **own.remarks}
    if own.begun or inherited is None:
        return Interrupted(row["run"], row["runbook"], own.begun, remarks, row["since"])
    return replace(inherited, remarks=remarks)


def _read(written: str) -> Interrupted | None:
    return Interrupted(**json.loads(written)) if written else None


def _written(interrupted: Interrupted | None) -> str:
    return json.dumps(asdict(interrupted)) if interrupted else ""


def _newest(conn: Connection, target: str) -> RowMapping | None:
    return conn.execute(select(TARGETS).where(TARGETS.c.target == target)).mappings().one_or_none()


def _mine(target: str, fence: int) -> Update:
    return update(TARGETS).where(TARGETS.c.target == target, TARGETS.c.fence == fence, TARGETS.c.state == "held")


def _beat(conn: Connection, target: str, fence: int) -> bool:
    return conn.execute(_mine(target, fence).values(heartbeat_at=Database.now(conn))).rowcount == 1


def _keep_beating(turn: Turn, over: threading.Event, every_s: float) -> None:
    while not over.wait(every_s):
        with suppress(StoreUnusable), turn.db.write() as conn:  # a beat that fails is silence; the next may succeed
            if not _beat(conn, turn.target, turn.fence):
                return


def _leave(turn: Turn) -> None:
    with turn.db.read() as conn:
        row = _newest(conn, turn.target)
    if row and (row["state"], row["fence"]) == ("held", turn.fence):
        with turn.db.write() as conn:
            turn.release(conn)
