"""News by a Slack incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

Such a webhook only posts: nothing can be read back or edited, and repeats cannot be told apart, hence "(attempt 2)".
"""

import json
from typing import Any

from slack_sdk.models.blocks import Block, HeaderBlock, MarkdownTextObject, PlainTextObject, SectionBlock

from channels.answers import Answer, Reply, judge, post
from channels.credentials import Credentials
from channels.lines import Row, fit, fitted
from channels.wording import Message, parts, plain
from store.settings import Settings

MOST_HEADER, MOST_SECTION, MOST_TEXT = 150, 3000, 3000
"""Slack's limits in characters; a message may have 50 blocks, and ours never has a dozen."""

_BLOCKS_REFUSED = "invalid_blocks"


async def send(message: Message, credentials: Credentials, settings: Settings) -> Answer:
    """Post it; as plain text when Slack does not take our blocks, since ugly news is better than none."""
    reply = await _post(credentials, settings, render(message))
    if isinstance(reply, Reply) and reply.code_word() == _BLOCKS_REFUSED:
        reply = await _post(credentials, settings, {"text": escape(fit(plain(message), MOST_TEXT, escape))})
    if isinstance(reply, Answer):
        return reply
    return judge(reply.status, retry_after=reply.headers.get("retry-after"), named=reply.code_word())


def render(message: Message) -> dict[str, Any]:
    """The message as blocks; `text` is what the lock screen shows."""
    blocks: list[Block] = [HeaderBlock(text=PlainTextObject(text=fit(message.headline, MOST_HEADER)))]
    blocks += [_section(message.again)] if message.again else []
    blocks += [_section(f"*{part.label}*\n{fitted(part, _dressed, MOST_SECTION - 100)}") for part in parts(message)]
    short = " ".join(filter(None, (message.headline, message.again)))
    said = [block.to_dict() for block in blocks]  # slack_sdk holds them to Slack's limits
    return {"text": escape(fit(short, MOST_SECTION, escape)), "blocks": said, "unfurl_links": False}


def escape(text: str) -> str:
    """The three characters that mean something to Slack: `<!channel>` must not ring every phone."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dressed(row: Row) -> str:
    if row.link:
        return f"<{escape(row.link)}|{escape(row.text)}>"
    if not row.copy:
        return escape(row.text)
    # inside `…` an asterisk is an asterisk; a text with a backtick in it must do without
    code = escape(row.copy) if "`" in row.copy else f"`{escape(row.copy)}`"
    return f"{escape(row.text)}: {code}"


def _section(text: str) -> SectionBlock:
    return SectionBlock(text=MarkdownTextObject(text=text, verbatim=True))


async def _post(credentials: Credentials, settings: Settings, payload: dict[str, Any]) -> Reply | Answer:
    return await post(
        credentials.value("incident_slack_webhook_url"),
        limit_s=settings.send_timeout_s,
        headers={"Content-Type": "application/json"},
        content=json.dumps(payload).encode(),
    )
