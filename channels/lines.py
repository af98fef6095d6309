"""Lines of a message, and how they fit: cleaned, counted as the platforms count, and cut where nothing breaks."""

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from keys.redaction import redacted

LONGEST_ROW = 230
"""Of a list, in a chat. A command longer than this is not cut, which would make another command of it, but left out."""

_SPARE = 50
"""Of the budget of a part with one row, for what stands around the longest text in it."""

_UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb]")
"""Characters that are not seen and change what is: direction marks (CVE-2021-42574) and blanks of no width."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `text` is prose, `copy` is to be copied letter by letter, `link` is where it leads."""

    text: str
    copy: str = ""
    link: str = ""

    def __str__(self) -> str:
        """As plain text."""
        return ": ".join(filter(None, (self.text, self.copy, self.link)))


@dataclass(frozen=True, slots=True)
class Part:
    """Rows under a label. `budget`: how many UTF-16 units they may take up in a chat; all budgets fit one message."""

    label: str
    rows: tuple[Row, ...]
    budget: int


def in_html(row: Row) -> str:
    """The row in the little HTML that mail programs and Telegram have in common."""
    if row.link:
        return f'<a href="{html.escape(row.link)}">{html.escape(row.text)}</a>'
    text = html.escape(row.text)
    return f"{text}: <code>{html.escape(row.copy)}</code>" if row.copy else text


def clean(text: str) -> str:
    """One line that shows what it says: no control or direction characters, no lone surrogates, no secrets."""
    whole = _UNSEEN.sub("", text.encode("utf-8", "replace").decode())
    seen = (" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in whole)
    return redacted(" ".join("".join(seen).split()))


def units(text: str) -> int:
    """Length as Telegram (and JavaScript) counts: in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def fit(text: str, most: int, escape: Callable[[str], str] = str) -> str:
    """`text`, cut so that its escaped form has at most `most` units, not yet escaped: so no entity is ever cut."""
    if units(escape(text)) <= most:
        return text
    short, long = 0, len(text)
    while short < long:
        middle = (short + long + 1) // 2
        short, long = (middle, long) if units(escape(text[:middle])) < most else (short, middle - 1)
    return f"{text[:short].rstrip()}…"


def fitted(part: Part, dress: Callable[[Row], str], most: int | None = None) -> str:
    """The rows of a part, dressed, within its budget as they read and within `most` units as they are sent."""
    longest = LONGEST_ROW if len(part.rows) > 1 else part.budget - _SPARE
    dressed, room, left = list[str](), part.budget, most or 10 * part.budget
    for number, row in enumerate(_short(row, longest) for row in part.rows):
        more = f"… and {len(part.rows) - number} more"
        last = number == len(part.rows) - 1
        seen, sent = units(f"{row}\n"), units(f"{dress(row)}\n")
        if seen > room - (0 if last else len(more)) or sent > left - (0 if last else len(more)):
            return "\n".join([*dressed, more])
        dressed.append(dress(row))
        room, left = room - seen, left - sent
    return "\n".join(dressed)


def _short(row: Row, longest: int) -> Row:
    if units(row.copy) > longest:
        return Row(f"{fit(row.text, longest)} (too long for a chat: see the mail or the run)", link=row.link)
    return replace(row, text=fit(row.text, longest))
