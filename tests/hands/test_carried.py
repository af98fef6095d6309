"""Which settings of a file reach the next one in the same session."""

import pytest

from runbooks.migrations.files import Direction, MigrationFile
from tasks.migrations.carried import carried

# A newcomer adds a case here: a file, and what of it is carried on.
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "a search path": ("SET search_path = audit;\nCREATE TABLE a (n int);", ("SET search_path = audit",)),
    "and its end": (
        "SET search_path TO a;\nSELECT 1;\nRESET search_path;",
        ("SET search_path TO a", "RESET search_path"),
    ),
    "for one transaction": ("BEGIN;\nSET LOCAL search_path = a;\nCOMMIT;", ()),
    "what only bounds time": ("SET lock_timeout = '5s';\nSET statement_timeout TO 0;", ()),
    "a custom setting": ("SET app.tenant = 'a';", ("SET app.tenant = 'a'",)),
    "by a function": (
        "SELECT pg_catalog.set_config('search_path', '', false);",
        ("SELECT pg_catalog.set_config('search_path', '', false)",),
    ),
    "the SET of an UPDATE": ("UPDATE a SET n = 1;", ()),
    "the SET of a definition": ("ALTER TABLE a ALTER COLUMN n SET DEFAULT 1;", ()),
    "in a comment": ("-- SET search_path = a;\nSELECT 1;", ()),
    "of constraints": ("SET CONSTRAINTS ALL DEFERRED;", ()),
}


@pytest.mark.parametrize("name", CASES)
def test_what_outlives_its_file(name: str) -> None:
    text, kept = CASES[name]
    assert carried([MigrationFile(1, Direction.UP, "001_a.up.sql", text)]) == kept
