"""News for machines: a signed POST by the Standard Webhooks specification (https://www.standardwebhooks.com).

Headers `webhook-id` (the same at every attempt: drop what you have seen), `webhook-timestamp` (of the attempt: refuse
what is old) and `webhook-signature`; besides, `X-Hub-Signature-256` as GitHub sends it, for receivers that know only
that one. It does not cover the timestamp, so whoever can should check the other.
"""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

from channels.answers import Answer, Verdict, judge, post
from channels.credentials import Credentials
from channels.fields import WeakSecretError, webhook_key
from channels.wording import Message
from keys.redaction import redacted
from store.settings import Settings

MOST_TEXT = 2000
"""Characters of one text; fifty steps with a note each stay below half a megabyte."""


async def send(message: Message, credentials: Credentials, settings: Settings) -> Answer:
    """Sign and post it. A secret that is too weak sends nothing."""
    body = json.dumps(render(message), ensure_ascii=False, separators=(",", ":")).encode()
    try:
        signed = signatures(credentials.value("incident_webhook_secret"), message.id, int(time.time()), body)
    except WeakSecretError as error:
        return Answer(Verdict.DEAD, f"incident_webhook_secret {error.fault}")
    headers = {"Content-Type": "application/json", "User-Agent": "hoodcloud-runbooks", **signed}
    url = credentials.value("incident_webhook_url")
    reply = await post(url, limit_s=settings.send_timeout_s, headers=headers, content=body)
    if isinstance(reply, Answer):
        return reply
    return judge(reply.status, retry_after=reply.headers.get("retry-after"))


def render(message: Message) -> dict[str, Any]:
    """The outcome as data, the same at every attempt: the id in the header names this very content."""
    outcome = message.outcome
    at = _iso(outcome.at)
    data = {"id": message.id, "title": message.title, **outcome.document()}
    return {"type": "runbook.outcome", "timestamp": at, "data": _safe(data)}


def signatures(secret: str, key: str, at: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent `body` with the id `key`, when, and that it is whole.

    Raises: WeakSecretError.
    """
    signed = f"{key}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(webhook_key(secret), signed, hashlib.sha256)).decode()
    return {
        "webhook-id": key,
        "webhook-timestamp": f"{at}",
        "webhook-signature": f"v1,{signature}",
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def _safe(value: Any) -> Any:
    """The same data with every text redacted, cut to `MOST_TEXT`, and valid UTF-8."""
    if isinstance(value, str):
        whole = redacted(value.encode("utf-8", "replace").decode())
        return whole if len(whole) <= MOST_TEXT else f"{whole[: MOST_TEXT - 1]}…"
    if isinstance(value, dict):
        return {key: _safe(one) for key, one in value.items()}
    return [_safe(one) for one in value] if isinstance(value, list | tuple) else value


def _iso(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, UTC).isoformat()
