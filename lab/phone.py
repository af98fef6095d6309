"""What arrived at the receivers, as people see it: four phones, 38 characters wide."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_STYLE = """
body { margin: 0; padding: 16px; background: #ddd; font: 15px/1.35 system-ui, sans-serif; display: flex;
  flex-wrap: wrap; gap: 16px; align-items: flex-start }
section { background: #fff; border-radius: 20px; padding: 14px; box-sizing: border-box; width: 375px }
section > h2 { margin: 0 0 8px; font-size: 13px; color: #777; text-transform: uppercase }
article { border-top: 1px solid #ddd; padding: 10px 0; overflow-wrap: anywhere; white-space: pre-wrap }
article > small { color: #777; display: block; white-space: normal }
article h1 { font-size: 17px; margin: 0 0 6px } code { background: #f0f0f0; border-radius: 4px; padding: 0 3px }
.telegram { background: #e6f3dd; border-radius: 10px; padding: 8px }
iframe { border: 0; width: 100%; height: 620px }
"""

_SLACK_LINK = re.compile(r"&lt;(https?://[^|&]+(?:&amp;[^|&]+)*)\|(.+?)&gt;")


def page(arrived: Sequence[Mapping[str, Any]]) -> str:
    """The page, newest message first."""
    shown = {"slack": _slack, "telegram": _telegram, "email": _email, "webhook": _webhook}
    phones = []
    for channel, show in shown.items():
        messages = (_article(one, show(one["message"])) for one in _newest(arrived, channel))
        phones.append(f"<section><h2>{channel}</h2>{''.join(messages)}</section>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>What arrived</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="5"><style>{_STYLE}</style></head><body>{"".join(phones)}</body></html>'
    )


def slack_html(mrkdwn: str) -> str:
    """Slack's mrkdwn as a browser shows it: links, bold and code; nothing else of it is used."""
    text = html.escape(html.unescape(mrkdwn.replace("<", "\x00").replace(">", "\x01")), quote=False)
    text = text.replace("\x00", "&lt;").replace("\x01", "&gt;")
    text = _SLACK_LINK.sub(r'<a href="\1">\2</a>', text)
    pieces = re.split(r"(`[^`\n]+`)", text)
    return "".join(
        f"<code>{piece[1:-1]}</code>" if number % 2 else re.sub(r"(?m)^\*([^*\n]+)\*$", r"<b>\1</b>", piece)
        for number, piece in enumerate(pieces)
    )


def _newest(arrived: Sequence[Mapping[str, Any]], channel: str) -> list[Mapping[str, Any]]:
    return [one for one in reversed(arrived) if one["channel"] == channel]


def _article(one: Mapping[str, Any], shown: str) -> str:
    repeats = f" · {one['repeats']} repeats dropped" if one["repeats"] else ""
    return f"<article>{shown}<small>{datetime.fromtimestamp(one['at'], UTC):%H:%M:%S} UTC{repeats}</small></article>"


def _slack(payload: Mapping[str, Any]) -> str:
    blocks = payload.get("blocks") or [{"type": "section", "text": {"type": "mrkdwn", "text": payload["text"]}}]
    return "".join(_slack_block(block) for block in blocks)


def _slack_block(block: Mapping[str, Any]) -> str:
    if block["type"] == "header":
        return f"<h1>{html.escape(block['text']['text'])}</h1>"
    texts = [block["text"]] if "text" in block else block.get("elements", [])
    return "".join(f'<div style="margin-bottom:8px">{slack_html(text["text"])}</div>' for text in texts)


def _telegram(fields: Mapping[str, Any]) -> str:
    # the rules have let only Telegram's own few tags through
    text = fields["text"] if fields.get("parse_mode") == "HTML" else html.escape(fields["text"])
    return f'<div class="telegram">{text}</div>'


def _email(mail: Mapping[str, Any]) -> str:
    people = html.escape(f"{mail['from']} → {', '.join(mail['to'])}")
    return (
        f"<h1>{html.escape(mail['subject'])}</h1><small>{people}</small>"
        f'<iframe sandbox srcdoc="{html.escape(mail.get("html") or mail.get("text") or "")}"></iframe>'
    )


def _webhook(event: Mapping[str, Any]) -> str:
    return f"<code>{html.escape(json.dumps(event, indent=1, ensure_ascii=False))}</code>"
