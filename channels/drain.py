"""One channel's share of a delivery: take a letter, send it, write down what became of it, take the next."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from channels import email, slack, telegram, webhook
from channels.answers import LONGEST_WAIT_S, Answer, Verdict, broken
from channels.credentials import Credentials
from channels.wording import Message
from keys import nodes, redaction
from runbooks.errors import RunbookError
from store import outbox
from store.database import Database
from store.outbox import Letter
from store.settings import Settings

SENDERS: Mapping[str, Callable[[Message, Credentials, Settings], Awaitable[Answer]]] = {
    "slack": slack.send,
    "telegram": telegram.send,
    "email": email.send,
    "webhook": webhook.send,
}

FIRST_WAIT_S = 2.0
UNKNOWN_WAIT_S = 60.0
"""How long a letter waits for the next look whether Vault tells the credentials."""

MOST_ATTEMPTS, GIVE_UP_S = 100, 86_400.0
"""A letter that met with nothing but trouble is given up after both: so often, and a day old."""

LEASE_SPARE_S = 10.0
"""A letter is held for so much longer than sending may take; then another process may take it up."""

_LEAST_TO_SEND_S, _TO_WRITE_DOWN_S = 0.2, 0.1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one channel's letters in one delivery.

    `retried`: attempts that met with trouble; these letters are in line again, unless a later attempt ended well.
    `waiting`: left in line without an attempt, as the credentials are not known or the time was up. `why`: the newest
    reason, never with a secret.
    """

    channel: str
    sent: int = 0
    retried: int = 0
    dead: int = 0
    skipped: int = 0
    waiting: int = 0
    why: str = ""

    def row(self) -> dict[str, str]:
        """As a row of a table."""
        return {name: f"{value}" for name, value in asdict(self).items()}


@dataclass
class Drain:
    """`until` is on the monotonic clock. `credentials` may take two seconds the first time."""

    channel: str
    db: Database
    settings: Settings
    of_run: str | None
    until: float
    credentials: Callable[[], Credentials]
    ignore_backoff: bool
    done: Delivered = field(init=False)
    _due: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing is done yet."""
        self.done = Delivered(self.channel)

    def note(self, why: str = "", **counts: int) -> None:
        """Adds to what was done."""
        sums = {name: getattr(self.done, name) + count for name, count in counts.items()}
        self.done = replace(self.done, **sums, why=why or self.done.why)

    def run(self) -> None:
        """Until nothing is in line, the time is up, or it turns out that the credentials are not known."""
        try:
            while self._left() > _LEAST_TO_SEND_S and self._next():
                pass
        except RunbookError as error:
            self.note(waiting=1, why=error.message)
        except Exception as error:  # noqa: BLE001  # a thread has nobody to raise to
            _log.exception("telling by %s failed", self.channel)
            self.note(waiting=1, why=f"a fault of ours: {type(error).__name__}")

    def _left(self) -> float:
        return self.until - time.monotonic()

    def _next(self) -> bool:
        """Takes up one letter; whether to go on."""
        lease_s = self.settings.send_timeout_s + nodes.LIMIT_S + LEASE_SPARE_S
        letter = outbox.claim(
            self.db, self.channel, run=self.of_run, lease_s=lease_s, ignore_backoff=self.ignore_backoff
        )
        if letter is None:
            return self._wait()
        credentials = self.credentials()
        if self._left() < _LEAST_TO_SEND_S:
            outbox.retry(self.db, letter, after_s=0, why=letter.why)
            self.note(waiting=1, why="the time was up before it could be sent")
            return False
        if not credentials.known:
            why = redaction.redacted(f"credentials not known: {credentials.why}")
            outbox.retry(self.db, letter, after_s=UNKNOWN_WAIT_S, why=why)
            self.note(waiting=1, why=why)
            return False
        if self.channel not in credentials.configured:
            why = unconfigured(credentials, self.channel)
            self.note(skipped=int(outbox.skip(self.db, letter, why)), why=why)
            return True
        message = Message(letter.id, letter.outcome, letter.attempt, credentials.notice)
        answer = attempt(self.channel, message, credentials, self.settings, limit_s=self._left() - _TO_WRITE_DOWN_S)
        self._mark(letter, answer)
        return True

    def _mark(self, letter: Letter, answer: Answer) -> None:
        why = answer.why
        old = letter.attempt >= MOST_ATTEMPTS and time.time() - letter.created_at > GIVE_UP_S
        if answer.verdict is Verdict.SENT:
            self.note(sent=int(outbox.sent(self.db, letter)), why=why)
        elif answer.verdict is Verdict.DEAD or old:
            self.note(dead=int(outbox.dead(self.db, letter, why)), why=why)
            _log.warning("outcome %s given up: %s", letter.id, why)
        else:
            after_s = answer.after_s or backoff(letter.attempt)
            if outbox.retry(self.db, letter, after_s=after_s, why=why):
                self._due.append(time.monotonic() + after_s)
                self.note(retried=1, why=why)
                self.ignore_backoff = False  # once is enough: what fails now has earned its pause

    def _wait(self) -> bool:
        """Waits for a letter of ours whose next attempt falls into this delivery; whether there is one."""
        if not self._due or min(self._due) > self.until - _LEAST_TO_SEND_S:
            return False
        next_due = min(self._due)
        self._due.remove(next_due)
        time.sleep(max(next_due - time.monotonic(), 0) + 0.01)
        return True


def attempt(channel: str, message: Message, credentials: Credentials, settings: Settings, *, limit_s: float) -> Answer:
    """Send `message` once by a configured channel, in at most `limit_s` seconds and the settings' own limit."""
    limit_s = max(min(settings.send_timeout_s, limit_s), _LEAST_TO_SEND_S)

    async def limited() -> Answer:
        async with asyncio.timeout(limit_s):  # httpx's limits hold for each read: a dripping answer never ends
            return await SENDERS[channel](message, credentials, settings)

    try:
        answer = asyncio.run(limited())
    except TimeoutError as error:
        answer = broken(error, limit_s)
    return replace(answer, why=redaction.redacted(f"{channel} {answer.why}" if answer.why else ""))


def unconfigured(credentials: Credentials, channel: str) -> str:
    """Why a channel is left out."""
    if lacks := credentials.partial.get(channel):
        why = f"partly configured: {'; '.join(lacks)}"
    elif credentials.why and not credentials.configured:
        why = f"not configured: {credentials.why}"
    else:
        why = "not configured"
    return redaction.redacted(why)


def backoff(attempts: int) -> float:
    """Seconds until the next attempt when the far side named none: doubling, with jitter, at most 15 minutes."""
    doubled = FIRST_WAIT_S * 2.0 ** min(attempts - 1, 20)
    return random.uniform(0.5, 1) * min(doubled, LONGEST_WAIT_S)  # noqa: S311  # spreads load, guards nothing
