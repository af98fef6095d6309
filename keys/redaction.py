"""Secrets stay out of logs and reasons, also where a library writes them.

httpx logs every full URL at INFO, and the URLs of Slack and Telegram are secrets. `quiet` raises the libraries' levels
and makes every log record of this process pass `Redacting`, whoever sets up the handlers and when.
"""

import logging
import re
import threading
from collections.abc import Iterable
from typing import Any

NOISY: tuple[str, ...] = ("httpx", "httpcore", "hpack", "telegram", "urllib3", "slack_sdk")
"""Libraries that send; what they have to say, we say ourselves in `Answer.why`."""

HIDDEN = "[hidden]"
SHORTEST_KNOWN, SHORTEST_PATH = 12, 16
"""A known value, or the path of a known URL, with fewer characters is not looked for: it would hide ordinary words."""

_PATTERNS = re.compile(
    r"(?P<keep>/bot)\d+:[\w-]+"  # Telegram, in an URL
    r"|\b\d{6,}:[\w-]{30,}"  # Telegram, by itself
    r"|(?P<hooks>/(?:services|workflows|triggers)/)[\w/-]{8,}"  # Slack incoming webhook
    r"|\bwhsec_[\w+/=-]+"  # Standard Webhooks secret
    r"|\bhv[sbr]\.[\w-]{20,}|(?<![\w.])[sb]\.(?=[a-z]*\d)[a-z0-9]{24,}"  # Vault and OpenBao tokens
    r"|\bxox[a-z]-[\w-]+|\bxapp-[\w-]+"  # Slack tokens
    r"|(?P<header>(?:authorization|x-vault-token|x-postmark-server-token)['\"]?\s*[:=,]\s*b?['\"]?(?:bearer\s+|basic\s+)?)"
    r"[^\s'\",]+"
    r"|(?P<bearer>\bbearer\s+)[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
_URL_START = re.compile(r"https?://[^/?#]*")
_known: set[str] = set()
_lock = threading.Lock()


def hide(values: Iterable[str]) -> None:
    """From now on these values are hidden wherever this process logs them, whatever they look like.

    Of a URL what follows the host is hidden also by itself: httpcore and servers name it so.
    """
    found = {value for value in values if len(value) >= SHORTEST_KNOWN}
    paths = {_URL_START.sub("", value) for value in found if _URL_START.match(value)}
    with _lock:
        _known.update(found, (path for path in paths if len(path) >= SHORTEST_PATH))


def redacted(text: str) -> str:
    """`text` with every known secret, and everything that looks like one, replaced by `[hidden]`."""
    for value in sorted(_known.copy(), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _PATTERNS.sub(_keep_the_label, text)


def _keep_the_label(match: re.Match[str]) -> str:
    return (match["keep"] or match["hooks"] or match["header"] or match["bearer"] or "") + HIDDEN


class Redacting(logging.Filter):
    """Takes secrets out of a record: its message, its arguments, its traceback. Lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True always; `record` is changed in place."""
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001  # a wrong format string; logging itself reports that, with the arguments: so not with these
            said, record.args = f"{record.msg}", ()
        safe = redacted(said)
        if safe != said:
            record.msg, record.args = safe, ()
        if record.exc_info and record.exc_info[0]:
            traceback = logging.Formatter().formatException(record.exc_info)
            if traceback != (safe := redacted(traceback)):
                record.exc_info, record.exc_text = None, safe  # handlers print exc_text when there is no exc_info
        return True


_redacting = Redacting()


class _Factory:
    """Makes log records as `make` does, then redacts them."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __call__(self, *args: Any, **more: Any) -> logging.LogRecord:
        record: logging.LogRecord = self.make(*args, **more)
        _redacting.filter(record)
        return record


def quiet() -> None:
    """Makes logging safe in this process; whoever sends calls it first. Calling it again changes nothing."""
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "telegram" else logging.WARNING)
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Factory):
        logging.setLogRecordFactory(_Factory(make))
