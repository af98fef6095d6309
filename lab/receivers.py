"""Slack, Telegram, Resend and a webhook's receiver, played by one small server of its own process on loopback.

It checks what the real ones check, can be told to fail, and shows at its address what arrived, as a phone would.
What it answers is in `lab/receiving.py`, the rules in `lab/platform_rules.py`, the page in `lab/phone.py`.
"""

import base64
import json
import secrets
import sys
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from lab.server import Server

_ANSWER_LIMIT_S = 5


class Receivers(Server):
    """All four, as one process. `folder` keeps the secrets (mode 0600); what arrived is gone when it stops."""

    @property
    def address(self) -> str:
        """Where it listens, also for a browser."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def credentials(self) -> dict[str, str]:
        """The fields of `app-credentials` that point here. Random for each folder: nothing else has these values."""
        kept = self._secrets()
        return {
            "incident_slack_webhook_url": f"{self.address}/services/{kept['slack']}",
            "incident_telegram_bot_token": kept["token"],
            "incident_telegram_chat_id": kept["chat"],
            "incident_email_api_url": f"{self.address}/emails",
            "incident_email_api_key": kept["key"],
            "incident_email_from": "HoodCloud runbooks <runbooks@hoodcloud.test>",
            "incident_email_to": "oncall@hoodcloud.test, second@hoodcloud.test",
            "incident_webhook_url": f"{self.address}/hooks/{kept['hook']}",
            "incident_webhook_secret": kept["whsec"],
        }

    def canaries(self) -> list[str]:
        """The secret ones among them, to search for where none may be."""
        return sorted(value for name, value in self._secrets().items() if name != "chat")

    def arrived(self, channel: str | None = None) -> list[dict[str, Any]]:
        """What was accepted, in order: channel, at, id, repeats (dropped ones), message."""
        return [one for one in self._ask("arrived")["arrived"] if channel in (None, one["channel"])]

    def refused(self) -> list[dict[str, Any]]:
        """What was not accepted: channel, status, word."""
        return list(self._ask("arrived")["refused"])

    def fault(self, channel: str, kind: str, times: int = 1, retry_after: float = 1) -> None:
        """Fails the next `times` requests of a channel. `kind`:

        a status such as 429 (with `retry_after`, seconds), 502, 400, 302 (leads to another path here) · hang: no
        answer · drop: breaks the connection off · lost: takes the message, then breaks off · for Telegram also parse
        and migrated.
        """
        self._ask("faults", {"channel": channel, "fault": kind, "times": times, "retry_after": retry_after})

    def clear(self) -> None:
        """Forgets faults and everything that arrived."""
        self._ask("clear", {})

    def prepare(self) -> None:
        """The secrets, made once."""
        if not self._file.exists():
            self._file.touch(mode=0o600)
            self._file.write_text(json.dumps(_new_secrets()))

    def command(self) -> Sequence[str]:
        """Its own process."""
        return (sys.executable, "-m", "lab.receiving", str(self.ports[0]), str(self._file))

    def environment(self) -> dict[str, str]:
        """So that it finds this package from any folder."""
        return {"PYTHONPATH": str(Path(__file__).parents[1])}

    def answers(self) -> bool:
        """Whether it is up."""
        return "arrived" in self._ask("arrived")

    @property
    def _file(self) -> Path:
        return self.folder / "secrets.json"

    def _secrets(self) -> dict[str, str]:
        return dict(json.loads(self._file.read_text()))

    def _ask(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with closing(HTTPConnection("127.0.0.1", self.ports[0], timeout=_ANSWER_LIMIT_S)) as connection:
            connection.request("GET" if body is None else "POST", f"/lab/{what}", json.dumps(body))
            return dict(json.load(connection.getresponse()))


def _new_secrets() -> dict[str, str]:
    return {
        "slack": f"T{secrets.token_hex(4).upper()}/B{secrets.token_hex(4).upper()}/{secrets.token_urlsafe(18)}",
        "token": f"{secrets.randbelow(9 * 10**8) + 10**8}:{secrets.token_urlsafe(26)}",
        "chat": f"-100{secrets.randbelow(9 * 10**9) + 10**9}",
        "key": f"re_{secrets.token_urlsafe(24)}",
        "hook": secrets.token_urlsafe(18),
        "whsec": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }
