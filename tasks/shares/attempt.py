"""One unseal attempt on one node: shares in, each answer checked, a wrong share found out by trying other sets.

Vault says nothing about a wrong share before the last one of a set, then throws the whole set away; a share given
twice is silently not counted; and whoever else enters shares takes part in the same attempt. So every answer is
compared with what this attempt alone would have caused, and any other answer stops it.
"""

import http.client
import itertools
import json
import math
import signal
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tasks.shares.seal_status import SealStatus, seal_status_of
from tasks.shares.sources import OpenShare

ANSWER_S = 10
"""Longest wait for one whole answer, seconds: the last share of a first raft join blocks for 1 to 2 s."""

JOIN_S = 30
"""Longest wait for a node to join its raft cluster, seconds."""

MOST_TRIES = 300
"""Most sets of shares that are tried on one node."""

MOST_LOOKED_AT = 200_000
"""Most ways of leaving shares out that are looked at for new sets: all there are of up to 17 shares."""

WRONG_SHARE = ("message authentication failed", "invalid key", "unseal failed", "duplicate part", "failed to decrypt")
"""How Vault says that a set does not open it: with 400, and with 500 before 1.13 (issues 8425, 17792)."""


class Stopped(Exception):
    """The attempt ended without the shares having been refused or taken. `kind` is a finding or reference."""

    def __init__(self, kind: str, why: str) -> None:
        self.kind, self.why = kind, why
        super().__init__(why)


class Rejected(Exception):
    """Vault took a whole set of shares and could not open itself with it."""


@dataclass(slots=True)
class NodeApi:
    """The unauthenticated part of one node's API that unsealing needs."""

    address: str
    ca_file: str
    _connection: http.client.HTTPSConnection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        url = urllib.parse.urlsplit(self.address)
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise Stopped(
                "untrusted-certificate", f"the CA file {self.ca_file} cannot be used: {error.strerror}"
            ) from None
        assert url.scheme == "https" and url.hostname
        self._connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=ANSWER_S, context=context)

    def status(self) -> SealStatus:
        """GET sys/seal-status."""
        return self._ask("GET", "/v1/sys/seal-status", None)

    def give(self, key: bytes) -> SealStatus:
        """One share. Raises: Rejected."""
        return self._ask("PUT", "/v1/sys/unseal", {"key": key.hex()})

    def clear(self) -> SealStatus:
        """Throw away what was entered so far."""
        return self._ask("PUT", "/v1/sys/unseal", {"reset": True})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> SealStatus:
        try:
            with _within(ANSWER_S):
                self._connection.request(method, path, body=json.dumps(body) if body else None)
                answer = self._connection.getresponse()
                text = answer.read(65_536)
        except ssl.SSLError as error:
            raise Stopped("untrusted-certificate", f"{self.address}: {error.reason or 'TLS failed'}") from None
        except TimeoutError:
            self._connection.close()
            raise Stopped("unreachable", f"{self.address}: no answer within {ANSWER_S} s") from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Stopped("unreachable", f"{self.address}: {type(error).__name__}") from None
        try:
            said = json.loads(text)
            if answer.status == http.client.OK:
                return seal_status_of(said)
        except (ValueError, RecursionError):
            self._connection.close()
            raise Stopped("unreachable", f"{self.address} answers {answer.status}, but not as a Vault does") from None
        errors = _errors(said)
        if answer.status in (400, 500) and any(words in errors.lower() for words in WRONG_SHARE):
            raise Rejected
        raise Stopped("unreachable", f"{self.address} answers {answer.status}: {errors[:200]}")


@contextmanager
def _within(limit_s: float) -> Iterator[None]:
    """TimeoutError after `limit_s`, however often something comes meanwhile: a socket's timeout starts over each time.

    By a signal: this program has one thread, and a TLS handshake can be cut short in no other way.
    """

    def late(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _errors(said: object) -> str:
    """What Vault says beside a code that is not 200, in one printable line."""
    errors = said.get("errors") if isinstance(said, dict) else None
    text = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text)


@dataclass(frozen=True, slots=True)
class Given:
    """How an attempt ended: `up` when the node said that it is unsealed; else it took the shares and is still joining.

    `helped`: it opened after fewer shares of ours than it needs, so somebody else gave some too.
    """

    up: bool
    tries: int
    helped: bool = False
    used: tuple[OpenShare, ...] = ()
    wrong: tuple[OpenShare, ...] = ()


def give(
    node: NodeApi,
    shares: Sequence[OpenShare],
    threshold: int,
    may_go_on: Callable[[str, int], bool],
    *,
    joins: bool = False,
    first: Sequence[OpenShare] = (),
) -> Given:
    """Unseal `node` with `threshold` of `shares`. `may_go_on(nonce, progress)` is asked after every share that counted.

    `first` is a set that has just opened another node: it comes first, and a node that `joins` gets no other, since
    OpenBao's retry-join never recovers from a wrong set.

    Raises: Stopped.
    """
    status = _ready(node, joins=joins)
    if not status["sealed"]:
        return Given(up=True, tries=0)
    if status["t"] != threshold:
        raise Stopped("plan-drifted", f"{node.address} asks for {status['t']} shares, the plan says {threshold}")
    if status["progress"]:
        raise Stopped(
            "someone-else-is-unsealing", f"{node.address} already has {status['progress']} of {threshold} shares"
        )
    refused: list[tuple[OpenShare, ...]] = []
    for some in _in_order(shares, threshold, tuple(first), only=joins):
        try:
            up, count = _try(node, some, may_go_on)
        except Rejected:
            refused.append(some)
            continue
        return Given(up, len(refused) + 1, count < threshold, some, _wrong(refused, some))
    raise Stopped("shares-rejected", f"{node.address} {_all_refused(shares, threshold, refused, joins and first)}")


def _all_refused(shares: Sequence[OpenShare], threshold: int, refused: Sequence[object], only: object) -> str:
    if only:
        return (
            "refused the shares that opened another node; "
            "restart the node: it does not recover from a wrong set by itself"
        )
    there_are = math.comb(len(shares), threshold)
    tried = f"{len(refused)} sets were tried"
    if len(refused) < there_are:
        tried = f"gave up after {len(refused)} of {there_are} sets"
    return f"opens with no {threshold} of {', '.join(map(repr, shares))}; {tried}"


def unfit(status: SealStatus) -> tuple[str, str]:
    """The finding because of which a node in this state is given no share, and that in words; else both empty."""
    if not status["initialized"]:
        return "not-initialised", "is not initialised"
    if status["sealed"] and (status["recovery_seal"] or status["type"] != "shamir"):
        return "auto-unseal", f"has a seal of type {status['type']}; shares cannot help"
    if status["sealed"] and status["migration"]:
        return "seal-migration", "is in a seal migration"
    return "", ""


def _ready(node: NodeApi, *, joins: bool) -> SealStatus:
    status = node.status()
    deadline = time.monotonic() + JOIN_S
    while joins and not status["initialized"] and time.monotonic() < deadline:
        time.sleep(0.1)  # its API has no way to wait for this
        status = node.status()
    finding, words = unfit(status)
    if finding:
        raise Stopped(finding, f"{node.address} {words}")
    return status


def _sets(shares: Sequence[OpenShare], threshold: int) -> Iterator[tuple[OpenShare, ...]]:
    """Every set once, in an order in which each share, then each pair, is left out early.

    The first shares of those that are not left out: so a set differs little from the first one, and the one that
    opens the node tells which share was wrong.
    """
    sizes = range(len(shares) - threshold + 1)
    left_out = itertools.chain.from_iterable(itertools.combinations(range(len(shares)), size) for size in sizes)
    tried = set()
    for out in itertools.islice(left_out, MOST_LOOKED_AT):
        some = tuple([number for number in range(len(shares)) if number not in out][:threshold])
        if some not in tried:
            tried.add(some)
            yield tuple(shares[number] for number in some)


def _in_order(
    shares: Sequence[OpenShare], threshold: int, first: tuple[OpenShare, ...], *, only: bool
) -> Iterator[tuple[OpenShare, ...]]:
    """The sets to try, at most `MOST_TRIES`; `first`, if there is one, before the others or as the `only` one."""
    whole = len(first) == threshold
    if first and only:
        if not whole:
            raise Stopped("shares-missing", "not all the shares that opened another node could be opened again")
        return iter((first,))
    if not whole:
        return itertools.islice(_sets(shares, threshold), MOST_TRIES)
    others = (some for some in _sets(shares, threshold) if set(some) != set(first))
    return itertools.islice(itertools.chain((first,), others), MOST_TRIES)


def _try(node: NodeApi, some: tuple[OpenShare, ...], may_go_on: Callable[[str, int], bool]) -> tuple[bool, int]:
    nonce = ""
    for count, share in enumerate(some, 1):
        said = node.give(share.key)
        if not said["sealed"]:
            return True, count
        if count == len(some):
            if said["progress"]:  # not even the last share completed the set: somebody reset it before
                raise _someone_else(node, said, count)
            # a first raft join answers `sealed, progress 0` although it took the shares: wait for it, never repeat
            return False, count
        if said["progress"] != count or (nonce and said["nonce"] != nonce):
            raise _someone_else(node, said, count)
        nonce = said["nonce"]
        if not may_go_on(nonce, count):
            raise Stopped("turn-lost", f"told to stop after {count} shares to {node.address}")
    raise AssertionError("a set has at least one share")


def _someone_else(node: NodeApi, said: SealStatus, count: int) -> Stopped:
    return Stopped(
        "someone-else-is-unsealing",
        f"{node.address} counts {said['progress']} shares after {count} of ours: somebody else takes part",
    )


def _wrong(refused: Iterable[tuple[OpenShare, ...]], good: tuple[OpenShare, ...]) -> tuple[OpenShare, ...]:
    """The shares that are certainly wrong: alone in a refused set among shares that are known to be good."""
    lonely = [[share for share in some if share not in good] for some in refused]
    return tuple(dict.fromkeys(others[0] for others in lonely if len(others) == 1))
