"""News by a Telegram bot (https://core.telegram.org/bots/api#sendmessage), in its HTML mode."""

import contextlib
import html
import json
import logging
from typing import Any

from telegram import Bot, LinkPreviewOptions
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from channels.answers import Answer, Verdict, broken, judge, tls
from channels.credentials import Credentials
from channels.lines import fit, fitted, in_html
from channels.wording import Message, parts, plain
from store.settings import Settings

MOST_UNITS = 4096
"""UTF-16 units of a message, counted after Telegram has read the markup."""

_MOST_TITLE, _SUCCESS = 150, 2
_log = logging.getLogger(__name__)


class DeclinedError(TelegramError):
    """The Bot API answered, and not with success; its own words are kept for us and shown to nobody."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        """`answer` is the body, an empty one when it was no JSON."""
        super().__init__(f"status {status}")
        parameters = answer.get("parameters")
        found = parameters if isinstance(parameters, dict) else {}
        self.status = status
        self.moved_to = found.get("migrate_to_chat_id")
        self.retry_after = found.get("retry_after")
        self.parse_error = "can't parse entities" in str(answer.get("description", "")).lower()


class _Request(HTTPXRequest):
    """As the library's, but keeps the status: the library's errors do not, and its `RetryAfter` warns when raised."""

    async def do_request(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        """The status and the body of a success. Raises: DeclinedError for every other answer."""
        status, body = await super().do_request(*args, **more)
        if status // 100 == _SUCCESS:
            return status, body
        answer: Any = None
        with contextlib.suppress(ValueError):
            answer = json.loads(body)
        raise DeclinedError(status, answer if isinstance(answer, dict) else {})


async def send(message: Message, credentials: Credentials, settings: Settings) -> Answer:
    """Send it; follow a group that became a supergroup; as plain text when Telegram cannot read our HTML."""
    limit_s, chat = settings.send_timeout_s, credentials.value("incident_telegram_chat_id")
    request = _Request(httpx_kwargs={"timeout": limit_s, "verify": tls()})
    # initialize() would ask getMe first, and name the token in its error
    token, base = credentials.value("incident_telegram_bot_token"), f"{settings.telegram_api}/bot"
    bot = Bot(token, base_url=base, request=request, get_updates_request=request)
    try:
        return await _say(bot, chat, message)
    except DeclinedError as declined:
        return judge(declined.status, retry_after=_text(declined.retry_after), named=_reason(declined))
    except TelegramError as error:
        return broken(error.__cause__ if isinstance(error.__cause__, Exception) else error, limit_s)
    finally:
        await request.shutdown()


async def _say(bot: Bot, chat: str, message: Message) -> Answer:
    said, mode, note = render(message), "HTML", ""
    no_preview = LinkPreviewOptions(is_disabled=True)
    for _ in range(3):
        try:
            await bot.send_message(chat, said, parse_mode=mode or None, link_preview_options=no_preview)
            return Answer(Verdict.SENT, note)
        except DeclinedError as declined:
            if declined.moved_to and str(declined.moved_to) != chat:
                chat = str(declined.moved_to)
                note = f"the group has a new id: set incident_telegram_chat_id to {chat}"
                _log.warning("telegram: %s", note)
            elif declined.parse_error and mode:
                said, mode = fit(plain(message), MOST_UNITS), ""
            else:
                raise
    raise DeclinedError(400, {})


def render(message: Message) -> str:
    """The message in Telegram's HTML; everything that is not ours is escaped."""
    title = f"<b>{html.escape(fit(message.headline, _MOST_TITLE))}</b>"
    said = [f"<b>{html.escape(part.label)}</b>\n{fitted(part, in_html)}" for part in parts(message)]
    return "\n\n".join(["\n".join(filter(None, (title, message.again))), *said])


def _reason(declined: DeclinedError) -> str:
    words = {401: "(the token is not valid)", 403: "(the bot may not write there)", 404: "(the token is not valid)"}
    return words.get(declined.status, "")


def _text(value: object) -> str | None:
    return None if value is None else f"{value}"
