"""Tables for people, JSON for scripts, from the same rows."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COPIED = ("plan", "id", "name")
"""Columns whose values people copy: they are never broken over two lines."""

NOT_A_TERMINAL = 240
"""Characters in a line where the output goes to a file or a program."""


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str, title: str = "") -> None:
    """Print `rows`, all with the same keys: as one JSON array, as a table under `title`, or the word `empty`."""
    if as_json:
        say_json(list(rows))
        return
    console = Console() if sys.stdout.isatty() else Console(width=NOT_A_TERMINAL)
    if not rows:
        console.print(Text(f"{title}: {empty}" if title else empty))
        return
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name in COPIED)
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))  # Text: what others wrote is never read as markup
    console.print(table)


def say_json(value: Any) -> None:
    """Print one JSON value."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    print()


def minutes(seconds: float) -> str:
    """A length of time for people: `45 s`, `12 min`, `3 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
