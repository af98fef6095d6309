"""Sends what waits in the outbox. One thread for each channel, so that none waits for another.

At least once is the truth: what was sent and not yet marked so when a process dies is sent again, with the same id.
"""

import threading
import time
from collections.abc import Callable, Mapping

from channels import credentials as known
from channels.answers import Verdict
from channels.credentials import Credentials
from channels.drain import SENDERS, Delivered, Drain, attempt, unconfigured
from channels.wording import Message
from keys import redaction
from runbooks.report import Outcome
from store.database import Database
from store.settings import Settings

NO_STORE = "sent without the store: it may come again"


def deliver(
    db: Database,
    settings: Settings,
    *,
    run: str | None = None,
    deadline_s: float,
    credentials: Credentials | None = None,
    ignore_backoff: bool = False,
) -> tuple[Delivered, ...]:
    """Send what is in line (of `run`, if given) and return within `deadline_s` seconds; what is left stays in line.

    Gives the channels that had something to send. `credentials` are read when first needed, unless given. With
    `ignore_backoff` letters that wait for their next attempt are tried at once. Raises nothing: trouble is in `why`.
    """
    redaction.quiet()
    until = time.monotonic() + deadline_s
    once = _Once(lambda: credentials or known.read(settings))
    drains = [Drain(channel, db, settings, run, until, once.get, ignore_backoff) for channel in SENDERS]
    late = _side_by_side({drain.channel: drain.run for drain in drains}, until)
    for drain in drains:
        if drain.channel in late:  # it ends by itself, and what it holds is free again when its lease is over
            drain.note(waiting=1, why=drain.done.why or "still at it when the time was up")
    return tuple(drain.done for drain in drains if drain.done != Delivered(drain.channel))


def tell_now(
    settings: Settings, outcome: Outcome, *, key: str, deadline_s: float, credentials: Credentials | None = None
) -> tuple[Delivered, ...]:
    """Send `outcome` by every channel once, without the store: for the news that the store cannot be used.

    `key` is the id that far sides drop repeats by. What does not arrive is not tried again (`dead`). Raises nothing.
    """
    redaction.quiet()
    until = time.monotonic() + deadline_s
    once = _Once(lambda: credentials or known.read(settings))
    done = {channel: Delivered(channel, dead=1, why="no answer when the time was up") for channel in SENDERS}

    def one(channel: str) -> None:
        found = once.get()
        if channel not in found.configured:
            done[channel] = Delivered(channel, skipped=1, why=unconfigured(found, channel))
            return
        message = Message(key, outcome, notice=", ".join(filter(None, (NO_STORE, found.notice))))
        answer = attempt(channel, message, found, settings, limit_s=until - time.monotonic())
        sent = int(answer.verdict is Verdict.SENT)
        done[channel] = Delivered(channel, sent=sent, dead=1 - sent, why=answer.why)

    _side_by_side({channel: lambda channel=channel: one(channel) for channel in SENDERS}, until)  # type: ignore[misc]
    return tuple(done[channel] for channel in SENDERS)


def _side_by_side(works: Mapping[str, Callable[[], None]], until: float) -> set[str]:
    """Do all at once, on threads that nobody has to wait for; those still at it at `until` (monotonic clock)."""
    threads = {name: threading.Thread(target=work, name=f"tell {name}", daemon=True) for name, work in works.items()}
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(until - time.monotonic(), 0))
    return {name for name, thread in threads.items() if thread.is_alive()}


class _Once:
    """The credentials, read by whichever channel needs them first."""

    def __init__(self, read: Callable[[], Credentials]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._found: Credentials | None = None

    def get(self) -> Credentials:
        with self._lock:
            if self._found is None:
                self._found = self._read()
            return self._found
