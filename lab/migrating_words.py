"""golang-migrate's and lib/pq's wording, as a person finds it in the log of a pipeline."""

import psycopg

from runbooks.migrations.files import MigrationFile

BAD_CONNECTION = "driver: bad connection"
"""database/sql/driver.ErrBadConn."""


def identifier(file: MigrationFile | None) -> str:
    """What a file is called between its number and its direction."""
    return file.name.partition("_")[2].rpartition(f".{file.direction}.")[0] if file else "<empty>"


def pq_words(error: psycopg.Error) -> str:
    """pq.Error, as lib/pq writes it since 1.11: with the SQLSTATE."""
    if error.sqlstate is None:
        return BAD_CONNECTION  # the server is gone
    return f"pq: {error.diag.message_primary} ({error.sqlstate})"


def database_error(error: psycopg.Error, query: str, word: str = "") -> str:
    """database.Error of a query of golang-migrate's own."""
    said = pq_words(error)
    return f"{word} in line 0: {query} (details: {said})" if word else f"{said} in line 0: {query}"


def migration_error(error: psycopg.Error, text: str) -> str:
    """database.Error of a file; runStatement in database/postgres/postgres.go."""
    if error.sqlstate is None:
        return f"migration failed in line 0: {text} (details: {BAD_CONNECTION})"
    said, line = f"migration failed: {error.diag.message_primary}", 0
    if error.diag.statement_position:  # counts characters from 1
        before = text[: int(error.diag.statement_position)]
        line = before.count("\n") + 1
        said += f" (column {len(before) - before.rfind(chr(10)) - 1})"
    if error.diag.message_detail:
        said += f", {error.diag.message_detail}"
    return f"{said} in line {line}: {text} (details: {pq_words(error)})"
