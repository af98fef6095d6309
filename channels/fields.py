"""The fields of `app-credentials` that say where news goes, and what makes one of them usable."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

FIELDS: Mapping[str, tuple[str, ...]] = {
    "slack": ("incident_slack_webhook_url",),
    "telegram": ("incident_telegram_bot_token", "incident_telegram_chat_id"),
    "email": ("incident_email_api_url", "incident_email_api_key", "incident_email_from", "incident_email_to"),
    "webhook": ("incident_webhook_url", "incident_webhook_secret"),
}
"""What each channel needs, all of it. HoodCloud's own names."""

SECRET = frozenset(
    {
        "incident_slack_webhook_url",
        "incident_telegram_bot_token",
        "incident_email_api_key",
        "incident_webhook_url",
        "incident_webhook_secret",
    }
)
"""The fields that nobody may see: who knows them can speak in our name."""

SHORTEST_WEBHOOK_KEY = 24
"""Bytes, by the Standard Webhooks specification."""

_PLACEHOLDER = re.compile(
    r"(change|replace|fill)[-_ ]?(me|this|it)?( in)?|to[-_ ]?do|none|null|nil|n/?a|tbd|placeholder|your[-_ ].*|<.*>"
    r"|x{2,}|\.+|-+",
    re.IGNORECASE,
)
_MAILBOX = re.compile(r"[^\s@<>,]+@[^\s@<>,]+|[^<>,]+<[^\s@<>,]+@[^\s@<>,]+>")


class WeakSecretError(ValueError):
    """A webhook secret that must not sign anything; `fault` says what is wrong with it, never its value."""

    def __init__(self, fault: str) -> None:
        """`fault` follows the name of the field."""
        super().__init__(fault)
        self.fault = fault


def present(read: Mapping[str, object]) -> dict[str, str]:
    """The `incident_*` fields that hold a value: not blank, and no placeholder. Everything else is left behind here."""
    mine = {name: value for name, value in read.items() if name.startswith("incident_") and value is not None}
    texts = {name: f"{value}".strip() for name, value in mine.items()}
    return {name: text for name, text in texts.items() if text and not _PLACEHOLDER.fullmatch(text)}


def wrong(fields: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the fields that cannot be used, by name. Never repeats a value."""
    found = {name: _fault(name, value) for name, value in fields.items()}
    return {name: fault for name, fault in found.items() if fault}


def webhook_key(secret: str) -> bytes:
    """The bytes to sign with: what follows `whsec_` is base64 (Standard Webhooks), everything else is taken literally.

    The specification's own library would decode a plain secret as base64 too, and end up with some bytes nobody chose.

    Raises: WeakSecretError when it is no base64 or shorter than `SHORTEST_WEBHOOK_KEY`; never with the value.
    """
    fault = f"has fewer than {SHORTEST_WEBHOOK_KEY} bytes"
    try:
        encoded = secret.startswith("whsec_")
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True) if encoded else secret.encode()
    except (binascii.Error, ValueError):
        key, fault = b"", "is no base64 after whsec_"
    if len(key) < SHORTEST_WEBHOOK_KEY:
        raise WeakSecretError(fault)
    return key


def addresses(text: str) -> tuple[str, ...]:
    """The mail addresses of a list with commas; `Name <who@where>` is one of them."""
    return tuple(filter(None, (one.strip() for one in text.split(","))))


def _fault(name: str, value: str) -> str:
    if not value.isprintable():
        return "has control characters"
    if name in _SHAPES:
        shape, fault = _SHAPES[name]
        return "" if shape(value) else fault
    if name.endswith("_url"):
        return _url_fault(value)
    if name == "incident_webhook_secret":
        try:
            webhook_key(value)
        except WeakSecretError as error:
            return error.fault
    return "" if value.isascii() else "has characters beyond ASCII"


def _mailboxes(text: str) -> bool:
    return bool(addresses(text)) and all(map(_MAILBOX.fullmatch, addresses(text)))


_SHAPES: Mapping[str, tuple[Callable[[str], object], str]] = {
    "incident_telegram_bot_token": (re.compile(r"[0-9]+:[A-Za-z0-9_-]+").fullmatch, "is no bot token"),
    "incident_telegram_chat_id": (re.compile(r"-?[0-9]{1,19}|@[A-Za-z0-9_]{4,}").fullmatch, "is no chat id"),
    "incident_email_from": (_mailboxes, "is no mail address"),
    "incident_email_to": (_mailboxes, "is no mail address"),
}


def _url_fault(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("https", "http") or not host or re.search(r"\s", value):
        return "is no URL"
    return "" if parts.scheme == "https" or _is_loopback(host) else "is not https"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
