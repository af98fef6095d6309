"""Settings that one file leaves to the next: golang-migrate runs all files of one `up` in one session."""

import re
from collections.abc import Iterable

from runbooks.migrations.files import MigrationFile
from runbooks.migrations.statements import Kind
from tasks.migrations.parse import parse

_SETS = re.compile(r"(set|reset)\s+(?!local\b|transaction\b|constraints\b)(session\s+)?(?P<name>[\w.]+)", re.IGNORECASE)
_CALLS = re.compile(r"\bset_config\s*\(", re.IGNORECASE)

WITHOUT_EFFECT = frozenset(
    {
        "client_min_messages", "idle_in_transaction_session_timeout", "lock_timeout", "maintenance_work_mem",
        "statement_timeout", "work_mem",
    }
)  # fmt: skip
"""Settings that change how long a statement may take, and not what it does."""


def carried(files: Iterable[MigrationFile]) -> tuple[str, ...]:
    """The statements of `files` whose settings outlive their file, in order; those that decide nothing are left out."""
    found = []
    for file in files:
        if not re.search(r"\b(re)?set\b|set_config", file.text, re.IGNORECASE):
            continue  # most files; taking one apart takes a moment
        for statement in parse(file).statements:
            match = _SETS.match(statement.text.lstrip())
            by_name = statement.kind is Kind.SETTING and match and match["name"].lower() not in WITHOUT_EFFECT
            if by_name or (statement.kind in (Kind.QUERY, Kind.SETTING) and _CALLS.search(statement.text)):
                found.append(statement.text)
    return tuple(found)
