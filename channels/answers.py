"""What the far side's answer means for a letter: sent, try again, or never. One table for all channels."""

import contextlib
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from http import HTTPStatus

import httpx

LONGEST_WAIT_S = 900.0
"""Nobody is waited for longer, whatever Retry-After says: a notice of an outage is of no use tomorrow."""

_MOST_BYTES = 4096
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_CODE_WORD = re.compile(r"[a-z][a-z_]{2,39}")


class Verdict(StrEnum):
    """What became of one attempt to send."""

    SENT = "sent"
    RETRY = "retry"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt to send. `why` is for people and never has a secret; `after_s` is what the far side asked to wait."""

    verdict: Verdict
    why: str = ""
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP: no more of the body than is needed to name the error, and none after a success."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def code_word(self, field: bytes = b"") -> str:
        """The error's name when the body is one (`no_service`) or holds one in `field` of its JSON; never free text."""
        found = re.search(rb'"' + field + rb'"\s*:\s*"([^"]*)"', self.body) if field else None
        said = (found[1] if found else b"" if field else self.body.strip()).decode(errors="replace")
        return said if _CODE_WORD.fullmatch(said) else ""


def judge(status: int, *, retry_after: str | None = None, named: str = "") -> Answer:
    """The meaning of an HTTP status; `named` is the far side's own word for the error."""
    why = f"answered {status}" + (f" {named}" if named else "")
    kind = status // 100
    if kind == HTTPStatus.OK // 100:
        return Answer(Verdict.SENT)
    if status in _TRY_AGAIN or kind >= HTTPStatus.INTERNAL_SERVER_ERROR // 100:
        return Answer(Verdict.RETRY, why, _seconds(retry_after))
    if kind == HTTPStatus.MULTIPLE_CHOICES // 100:
        return Answer(Verdict.DEAD, f"{why}: it wants to send us elsewhere, and redirects are not followed")
    return Answer(Verdict.DEAD, why)


@cache
def tls() -> ssl.SSLContext:
    """The certificate authorities that are trusted outside; reading them takes longer than sending a letter."""
    return httpx.create_ssl_context()


async def post(url: str, *, limit_s: float, headers: Mapping[str, str], content: bytes) -> Reply | Answer:
    """One POST, no redirect followed: the reply, or why there is none. Raises nothing of httpx."""
    try:
        async with (
            httpx.AsyncClient(timeout=limit_s, verify=tls(), follow_redirects=False) as client,
            client.stream("POST", url, headers=dict(headers), content=content) as response,
        ):
            body = b""
            if not response.is_success:  # else it has arrived, whatever becomes of the rest of the answer
                async for some in response.aiter_bytes():
                    body += some
                    if len(body) >= _MOST_BYTES:
                        break
            return Reply(response.status_code, response.headers, body[:_MOST_BYTES])
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return Answer(Verdict.DEAD, "its address makes no sense")
    except (httpx.HTTPError, OSError) as error:
        return broken(error, limit_s)


def broken(error: Exception, limit_s: float) -> Answer:
    """The meaning of no answer at all. It may have arrived all the same, so it is sent again with the same id."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Answer(Verdict.RETRY, f"gave no answer within {limit_s:.1f} s")
    kind = "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke the connection off"
    return Answer(Verdict.RETRY, f"{kind} ({type(error).__name__})")


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After (RFC 9110, 10.2.3: seconds or a date) as seconds from 1 to `LONGEST_WAIT_S`; None if unreadable."""
    if retry_after is None:
        return None
    asked: float | None = None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", retry_after.strip()):
        asked = float(retry_after)
    else:
        with contextlib.suppress(ValueError, OverflowError):
            asked = parsedate_to_datetime(retry_after).timestamp() - time.time()
    return None if asked is None else min(max(asked, 1.0), LONGEST_WAIT_S)
