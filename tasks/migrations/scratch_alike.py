"""How the likeness of the live database becomes a CREATE DATABASE, and a login with the same settings."""

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from runbooks.errors import Unreachable
from tasks.migrations.likeness import Likeness

Connection = psycopg.Connection[Any]

STATEMENT_LIMIT_S = 30
"""Longest statement on scratch, seconds: there are no rows, so only one that waits on purpose takes long."""

_LIMITS = {
    "statement_timeout": f"{STATEMENT_LIMIT_S}s",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
}


def create_statement(name: str, like: Likeness, template: str, user: str, *, alone: bool = False) -> sql.Composed:
    """Makes the database `name` for the role that migrates, logged in as `user`: empty, or a copy of `template`.

    `alone`: nobody else is on the server. There a copy file by file is the faster one; elsewhere its two checkpoints
    would make the server write all that it has not yet written (CREATE DATABASE, STRATEGY).
    """
    words = [sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))]
    if like.role != user:
        words.append(sql.SQL("OWNER {}").format(sql.Identifier(like.role)))
    if template:
        words.append(sql.SQL("TEMPLATE {}").format(sql.Identifier(template)))
    else:
        words += _locale(like)
    if alone and like.major >= 15:  # before, there is no other way
        words += [sql.SQL("STRATEGY FILE_COPY").format()]
    return sql.SQL(" ").join(words)


def _locale(like: Likeness) -> list[sql.Composed]:
    words = "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
    values = [like.encoding, like.collate, like.ctype]
    if like.provider in "ib":
        words += (
            " LOCALE_PROVIDER icu ICU_LOCALE {}"
            if like.provider == "i"
            else " LOCALE_PROVIDER builtin BUILTIN_LOCALE {}"
        )
        values.append(like.locale)
    elif like.major >= 15:
        words += " LOCALE_PROVIDER libc"
    return [sql.SQL(words).format(*values)]


def log_in(params: Mapping[str, Any], like: Likeness, user: str, *, superuser: bool) -> Connection:
    """A session of `user` as the role of `like`. Its settings come with the login, so that RESET ALL leads to them.

    Raises: Unreachable `scratch-unreachable`.
    """
    chosen = {**dict(like.settings), "search_path": like.search_path, **_LIMITS}
    if like.role != user and not superuser:
        chosen["role"] = like.role
    options = [str(params.get("options", "")), *(f"-c {name}={_option(value)}" for name, value in chosen.items())]
    conn = connect({**params, "options": " ".join(options).strip()})
    if like.role != user and superuser:  # not only the role: then SET ROLE may do no more than it may do live
        conn.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(like.role)))
    return conn


def _option(value: str) -> str:
    """A value as libpq's `options` wants it."""
    return re.sub(r"([ \\])", r"\\\1", value)


def connect(params: Mapping[str, Any]) -> Connection:
    """A session in autocommit. Raises: Unreachable `scratch-unreachable`, without the password."""
    try:
        return psycopg.connect(**{"client_encoding": "UTF8", **params}, autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        said = str(error).replace(str(params.get("password") or "\0"), "***")
    raise Unreachable(  # out here: psycopg's error could hold the password, and would stay behind ours as its context
        "scratch-unreachable", f"the scratch server does not let us in: {said}", hint="look whether it runs"
    )
