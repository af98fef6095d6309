"""What people are shown beside a plan or a refusal, so that they can judge for themselves. Imports nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STANDS_FOR = {"\t": "    ", "\r": ""}


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One piece of evidence: a table (`header` and `rows`), or a text to be shown letter by letter.

    It proves nothing by itself and is not covered by the plan's digest, which covers the facts and the steps.
    """

    title: str
    text: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        # files and databases are other people's: what moves a terminal's cursor or turns text round is made visible
        object.__setattr__(self, "title", _visible(self.title))
        object.__setattr__(self, "text", _visible(self.text))
        object.__setattr__(self, "rows", tuple(tuple(map(_visible, row)) for row in self.rows))

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Exhibit":
        """The exhibit from plain JSON data."""
        rows = tuple(tuple(row) for row in document["rows"])
        return cls(document["title"], document["text"], tuple(document["header"]), rows)

    def lines(self) -> tuple[str, ...]:
        """It as plain lines, its title first; a row of a table is one line."""
        table = tuple(" | ".join(row) for row in ((self.header,) if self.header else ()) + self.rows)
        return (f"{self.title}:", *(f"  {line}" for line in (*self.text.splitlines(), *table)))


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else _STANDS_FOR.get(char, "\ufffd") for char in text)
