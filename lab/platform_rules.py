"""What Slack, Telegram and Resend check before they take a message, by their documentation.

Each function gives None for a message that would be taken, else what the platform would answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SLACK_BLOCKS, SLACK_ELEMENTS, SLACK_HEADER, SLACK_TEXT, SLACK_MESSAGE = 50, 10, 150, 3000, 40_000
"""https://docs.slack.dev/reference/block-kit/blocks, in characters."""

TELEGRAM_UNITS = 4096
"""https://core.telegram.org/bots/api#sendmessage: UTF-16 units, after entities parsing."""

TELEGRAM_TAGS = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "del", "a", "code", "pre", "blockquote"})
RESEND_RECIPIENTS, RESEND_KEY, MAIL_LINE = 50, 256, 998

_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-z]*)(?P<more>[^<>]*)>|<", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:(lt|gt|amp|quot)|#(\d+)|#x([0-9a-f]+));", re.IGNORECASE)
_MAILBOX = re.compile(r"[^\s@<>]+@[^\s@<>]+|[^<>\r\n]+<[^\s@<>]+@[^\s@<>]+>")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success: its status, the platform's word or sentence for it, and further fields."""

    status: int
    word: str
    more: Mapping[str, Any] | None = None


def slack(payload: object) -> Refusal | None:
    """The rules of an incoming webhook for its JSON body."""
    if not isinstance(payload, dict):
        return Refusal(400, "invalid_payload")
    blocks, text = payload.get("blocks", []), payload.get("text", "")
    if not blocks and not text:
        return Refusal(400, "no_text")
    if not isinstance(text, str) or len(text) > SLACK_MESSAGE:
        return Refusal(400, "msg_too_long")
    good = isinstance(blocks, list) and len(blocks) <= SLACK_BLOCKS and all(map(_slack_block, blocks))
    return None if good else Refusal(400, "invalid_blocks")


def telegram(fields: Mapping[str, Any]) -> Refusal | None:
    """The rules of sendMessage for its text and parse mode."""
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        return Refusal(400, "Bad Request: message text is empty")
    mode = str(fields.get("parse_mode") or "")
    if mode not in ("", "HTML"):
        return Refusal(400, "Bad Request: unsupported parse_mode")
    seen, fault = telegram_text(text) if mode else (text, "")
    if fault:
        return Refusal(400, f"Bad Request: can't parse entities: {fault}")
    if len(seen.encode("utf-16-le")) // 2 > TELEGRAM_UNITS:
        return Refusal(400, "Bad Request: message is too long")
    return None


def telegram_text(markup: str) -> tuple[str, str]:
    """What a reader of Telegram's HTML sees, and what is wrong with the markup."""
    seen, opened, position = "", list[str](), 0
    for tag in _TAG.finditer(markup):
        seen += _decoded(markup[position : tag.start()])
        position, name = tag.end(), (tag["name"] or "").lower()
        if name not in TELEGRAM_TAGS:
            return seen, f'Unsupported start tag "{name}" at byte offset {len(markup[: tag.start()].encode())}'
        if not tag["end"]:
            opened.append(name)
        elif not opened or opened.pop() != name:
            return seen, f'Unexpected end tag "{name}"'
    fault = f'Can\'t find end tag corresponding to start tag "{opened[-1]}"' if opened else ""
    return seen + _decoded(markup[position:]), fault


def resend(  # one return for each answer of theirs
    headers: Mapping[str, str], mail: object, key: str
) -> Refusal | None:
    """The rules of POST /emails (https://resend.com/docs/api-reference/emails/send-email, …/errors)."""
    given = headers.get("authorization", "")
    if given != f"Bearer {key}":
        return Refusal(403, "invalid_api_key") if given else Refusal(401, "missing_api_key")
    if len(headers.get("idempotency-key", "")) > RESEND_KEY:
        return Refusal(400, "invalid_idempotency_key")
    if not isinstance(mail, dict) or not {"from", "to", "subject"} <= set(mail):
        return Refusal(422, "missing_required_field")
    to = mail["to"] if isinstance(mail["to"], list) else [mail["to"]]
    if not isinstance(mail["from"], str) or not _MAILBOX.fullmatch(mail["from"]):
        return Refusal(422, "invalid_from_address")
    if not 1 <= len(to) <= RESEND_RECIPIENTS or not all(isinstance(one, str) and _MAILBOX.fullmatch(one) for one in to):
        return Refusal(422, "validation_error")
    subject, bodies = mail["subject"], [mail.get("html"), mail.get("text")]
    if not isinstance(subject, str) or not subject.strip() or _CONTROL.search(subject) or len(subject) > MAIL_LINE:
        return Refusal(422, "validation_error")
    return None if any(isinstance(body, str) and body for body in bodies) else Refusal(422, "missing_required_field")


def _slack_block(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "divider":
        return True
    if block.get("type") == "context":
        elements = block.get("elements")
        if not isinstance(elements, list) or not 1 <= len(elements) <= SLACK_ELEMENTS:
            return False
        return all(_slack_text(one, SLACK_TEXT) for one in elements)
    if block.get("type") == "header":
        text = block.get("text")
        return _slack_text(text, SLACK_HEADER) and isinstance(text, dict) and text["type"] == "plain_text"
    return block.get("type") == "section" and _slack_text(block.get("text"), SLACK_TEXT)


def _slack_text(text: object, most: int) -> bool:
    if not isinstance(text, dict) or text.get("type") not in ("plain_text", "mrkdwn"):
        return False
    said = text.get("text")
    return isinstance(said, str) and 1 <= len(said) <= most and bool(said.strip())


def _decoded(text: str) -> str:
    def char(found: re.Match[str]) -> str:
        named = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
        if found[1]:
            return named[found[1].lower()]
        return chr(int(found[2]) if found[2] else int(found[3], 16))

    return _ENTITY.sub(char, text)
