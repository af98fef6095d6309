"""The server behind `lab/receivers.py`: what it answers, and how it fails when told to.

python -m lab.receiving PORT SECRETS_FILE
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import sys
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab import platform_rules as rules
from lab.phone import page
from lab.platform_rules import Refusal

CHANNELS = {"services": "slack", "bot": "telegram", "emails": "email", "hooks": "webhook"}
"""The channel by how its path begins."""


@dataclass
class Desk:
    """Where messages arrive: what was accepted and refused, and which faults are still to come."""

    kept: dict[str, str]
    arrived: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)

    def fault(self, channel: str) -> dict[str, Any] | None:
        """The fault that this request meets, used up."""
        found = next((one for one in self.faults if one["channel"] == channel), None)
        if found:
            found["times"] -= 1
            self.faults = [one for one in self.faults if one["times"] > 0]
        return found

    def known(self, channel: str, key: str) -> dict[str, Any] | None:
        """What arrived by this channel with this key."""
        return next((one for one in self.arrived if key and (one["channel"], one["id"]) == (channel, key)), None)

    def accept(self, channel: str, message: Any, key: str = "") -> bool:
        """Keeps it. False for an id that was here before: then only the repeat is counted."""
        known = self.known(channel, key)
        if known:
            known["repeats"] += 1
            return False
        self.arrived.append({"channel": channel, "at": time.time(), "id": key, "repeats": 0, "message": message})
        return True

    # -- the four ---------------------------------------------------------------------------------------------

    async def slack(self, request: Request) -> Refusal | Response:
        """An incoming webhook: the path is the secret."""
        if request.path_params["secret"] != self.kept["slack"]:
            return Refusal(404, "no_service")
        payload = await _json(request)
        refusal = rules.slack(payload)
        if refusal is None:
            self.accept("slack", payload)
        return refusal or PlainTextResponse("ok")

    async def telegram(self, request: Request) -> Refusal | Response:
        """The Bot API: getMe and sendMessage."""
        if request.path_params["token"] != self.kept["token"]:
            return Refusal(401, "Unauthorized")
        body = await request.body()
        is_json = "json" in request.headers.get("content-type", "")
        fields = json.loads(body) if is_json else dict(parse_qsl(body.decode(), keep_blank_values=True))
        match request.path_params["method"].lower():
            case "getme":
                bot = {"id": 1, "is_bot": True, "first_name": "lab", "username": "lab_bot"}
                return JSONResponse({"ok": True, "result": bot})
            case "sendmessage":
                refusal = self._chat(fields) or rules.telegram(fields)
                if refusal is None:
                    self.accept("telegram", {**fields, "text": fields["text"]})
                return refusal or JSONResponse({"ok": True, "result": _telegram_message(len(self.arrived), fields)})
            case _:
                return Refusal(404, "Not Found")

    def _chat(self, fields: dict[str, Any]) -> Refusal | None:
        moved = self.kept.get("moved")
        if moved and fields.get("chat_id") == self.kept["chat"]:
            word = "Bad Request: group chat was upgraded to a supergroup chat"
            return Refusal(400, word, {"parameters": {"migrate_to_chat_id": int(moved)}})
        known = fields.get("chat_id") in (self.kept["chat"], moved)
        return None if known else Refusal(400, "Bad Request: chat not found")

    async def email(self, request: Request) -> Refusal | Response:
        """POST /emails. The same key with the same mail is one mail, with another one a conflict."""
        mail, key = await _json(request), request.headers.get("idempotency-key", "")
        if refusal := rules.resend(request.headers, mail, self.kept["key"]):
            return refusal
        known = self.known("email", key)
        if known and known["message"] != mail:
            known["repeats"] += 1
            return Refusal(409, "invalid_idempotent_request")
        self.accept("email", mail, key)
        return JSONResponse({"id": hashlib.sha256(key.encode()).hexdigest()[:32]})

    async def webhook(self, request: Request) -> Refusal | Response:
        """A receiver that checks both signatures, refuses what is older than five minutes, and drops repeats."""
        if request.path_params["secret"] != self.kept["hook"]:
            return Refusal(404, "not_found")
        body = await request.body()
        expected = "sha256=" + hmac.new(self.kept["whsec"].encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), request.headers.get("x-hub-signature-256", "").encode()):
            return Refusal(401, "bad_hub_signature")
        try:
            event = Webhook(self.kept["whsec"]).verify(body, dict(request.headers))
        except Exception as error:  # noqa: BLE001  # the library raises many kinds on hostile headers
            return Refusal(401, f"bad_signature: {error}")
        new = self.accept("webhook", event, request.headers["webhook-id"])
        return JSONResponse({"taken": new})


class Counter:
    """The outermost layer: meets each request with its fault, if it has one, and writes down what was refused."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        """In front of `app`."""
        self.app, self.desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope.get("path", "").lstrip("/")
        channel = next((name for start, name in CHANNELS.items() if path.startswith(start)), "")
        fault = self.desk.fault(channel) if channel else None
        kind = fault["fault"] if fault else ""
        if kind == "migrated":
            self.desk.kept["moved"] = f"-100{secrets.randbelow(9 * 10**9) + 10**9}"
        if kind == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif kind == "lost":
            await self.app(scope, receive, _nowhere)
        if kind in ("hang", "drop", "lost"):
            receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn's own object behind it
        elif fault and kind != "migrated":
            refusal = _fault_refusal(channel, fault)
            self.desk.refused.append({"channel": channel, "status": refusal.status, "word": refusal.word})
            await _said(channel, refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def _nowhere(_message: Message) -> None:
    await asyncio.sleep(0)


def _fault_refusal(channel: str, fault: dict[str, Any]) -> Refusal:
    status, wait = (400 if fault["fault"] == "parse" else int(fault["fault"])), fault["retry_after"]
    word = "Bad Request: can't parse entities: at byte offset 1" if fault["fault"] == "parse" else "told_to_fail"
    if status != HTTPStatus.TOO_MANY_REQUESTS:
        return Refusal(status, word)
    more = {"parameters": {"retry_after": wait}} if channel == "telegram" else {"wait": wait}
    return Refusal(status, "too_many", more)


def _said(channel: str, refusal: Refusal) -> Response:
    """The refusal as this platform words it."""
    more = dict(refusal.more or {})
    headers = {"Retry-After": f"{more.pop('wait')}"} if "wait" in more else {}
    if refusal.status in range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST):
        headers["Location"] = "/hooks/elsewhere"
    if channel == "slack":
        return PlainTextResponse(refusal.word, refusal.status, headers)
    body = {"ok": False, "error_code": refusal.status, "description": refusal.word, **more}
    if channel != "telegram":
        body = {"statusCode": refusal.status, "name": refusal.word, "message": "see the name"}
    return JSONResponse(body, refusal.status, headers)


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError:
        return None


def _telegram_message(number: int, fields: dict[str, Any]) -> dict[str, Any]:
    chat = {"id": int(fields["chat_id"]), "type": "supergroup", "title": "lab"}
    return {"message_id": number, "date": int(time.time()), "chat": chat, "text": fields["text"]}


def application(kept: dict[str, str]) -> ASGIApp:
    """The server, with the secrets that it accepts."""
    desk = Desk(kept)

    def door(channel: str) -> Any:
        async def answer(request: Request) -> Response:
            said = await getattr(desk, channel)(request)
            if isinstance(said, Refusal):
                desk.refused.append({"channel": channel, "status": said.status, "word": said.word})
                return _said(channel, said)
            return said  # type: ignore[no-any-return]

        return answer

    async def arrived(_request: Request) -> Response:
        return JSONResponse({"arrived": desk.arrived, "refused": desk.refused})

    async def faults(request: Request) -> Response:
        desk.faults.append({"times": 1, "retry_after": 1, **await request.json()})
        return JSONResponse({"faults": desk.faults})

    async def clear(_request: Request) -> Response:
        desk.arrived, desk.refused, desk.faults = [], [], []
        kept.pop("moved", None)
        return JSONResponse({})

    async def phones(_request: Request) -> Response:
        return HTMLResponse(page(desk.arrived))

    routes = [
        Route("/services/{secret:path}", door("slack"), methods=["POST"]),
        Route("/bot{token}/{method}", door("telegram"), methods=["GET", "POST"]),
        Route("/emails", door("email"), methods=["POST"]),
        Route("/hooks/{secret}", door("webhook"), methods=["POST"]),
        Route("/lab/arrived", arrived),
        Route("/lab/faults", faults, methods=["POST"]),
        Route("/lab/clear", clear, methods=["POST"]),
        Route("/", phones),
    ]
    return Counter(Starlette(routes=routes), desk)


def main() -> None:
    """Runs it until it is stopped."""
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    app = application(json.loads(file.read_text()))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
