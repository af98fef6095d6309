"""News by an e-mail service's HTTP API: Resend's shape, or SendGrid's or Postmark's, by the host of the address.

Resend drops repeats itself: the same `Idempotency-Key` within 24 hours is one mail.
"""

import html
import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from channels.answers import Answer, Reply, Verdict, judge, post
from channels.credentials import Credentials
from channels.fields import addresses
from channels.lines import fit, in_html
from channels.wording import Message, parts, plain
from store.settings import Settings

MOST_SUBJECT = 200

_PAGE = (
    '<!doctype html><html><body style="margin:0;padding:12px;font:16px/1.4 sans-serif;max-width:40em;'
    'overflow-wrap:anywhere">{}</body></html>'
)


async def send(message: Message, credentials: Credentials, settings: Settings) -> Answer:
    """Hand it to the service. A repeat that the service knows to be one counts as sent."""
    url = credentials.value("incident_email_api_url")
    mail = Mail.of(message, credentials)
    headers, payload = shaped(url, mail, credentials.value("incident_email_api_key"))
    reply = await post(url, limit_s=settings.send_timeout_s, headers=headers, content=json.dumps(payload).encode())
    if isinstance(reply, Answer):
        return reply
    name = reply.code_word(b"name")
    if reply.status == HTTPStatus.CONFLICT:
        return _known(reply, name)
    return judge(reply.status, retry_after=reply.headers.get("retry-after"), named=name)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail before it takes a service's shape."""

    id: str
    sender: str
    to: tuple[str, ...]
    subject: str
    page: str
    text: str

    @classmethod
    def of(cls, message: Message, credentials: Credentials) -> "Mail":
        """The message, whole, since a mail has room; the same at every attempt, since its key names this content."""
        message = replace(message, attempt=1)
        sender, to = credentials.value("incident_email_from"), addresses(credentials.value("incident_email_to"))
        return cls(message.id, sender, to, fit(message.title, MOST_SUBJECT), render(message), plain(message))


def render(message: Message) -> str:
    """The message as a page that reads well on a phone and needs nothing from elsewhere."""
    said = [
        f'<h2 style="font-size:16px;margin:16px 0 4px">{html.escape(part.label)}</h2>'
        + "".join(f'<div style="margin:2px 0">{in_html(row)}</div>' for row in part.rows)
        for part in parts(message)
    ]
    return _PAGE.format(f'<h1 style="font-size:18px;margin:0">{html.escape(message.headline)}</h1>' + "".join(said))


def shaped(url: str, mail: Mail, key: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and body as the service at `url` wants them."""
    host = (urlsplit(url).hostname or "").lower()
    if _of(host, "sendgrid.com"):
        return _bearer(key), _sendgrid(mail)
    if _of(host, "postmarkapp.com"):
        return {"Content-Type": "application/json", "X-Postmark-Server-Token": key}, _postmark(mail)
    return {**_bearer(key), "Idempotency-Key": mail.id}, _resend(mail)


def _resend(mail: Mail) -> dict[str, Any]:
    return {"from": mail.sender, "to": list(mail.to), "subject": mail.subject, "html": mail.page, "text": mail.text}


def _sendgrid(mail: Mail) -> dict[str, Any]:
    name, _, where = mail.sender.rpartition("<")
    sender = {"email": where.rstrip("> "), "name": name.strip(' "')} if name else {"email": mail.sender}
    people = [{"email": one.rpartition("<")[2].rstrip("> ")} for one in mail.to]
    return {
        "personalizations": [{"to": people, "custom_args": {"outcome": mail.id}}],
        "from": {part: value for part, value in sender.items() if value},
        "subject": mail.subject,
        "content": [{"type": "text/plain", "value": mail.text}, {"type": "text/html", "value": mail.page}],
    }


def _postmark(mail: Mail) -> dict[str, Any]:
    return {
        "From": mail.sender,
        "To": ", ".join(mail.to),
        "Subject": mail.subject,
        "HtmlBody": mail.page,
        "TextBody": mail.text,
        "Metadata": {"outcome": mail.id},
    }


def _bearer(key: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}


def _of(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _known(reply: Reply, name: str) -> Answer:
    """Resend's 409: our key is known. With another text (the age of the cache, say) an earlier attempt did arrive."""
    if name == "invalid_idempotent_request":
        return Answer(Verdict.SENT, "an earlier attempt had arrived")
    if name == "concurrent_idempotent_requests":
        return Answer(Verdict.RETRY, f"answered 409 {name}")
    return judge(reply.status, named=name)
