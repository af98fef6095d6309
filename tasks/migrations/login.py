"""Logging in to PostgreSQL: the password from Vault, from a file while Vault is away, and errors that hold none."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from keys import nodes, redaction
from keys.secret import read_secret
from runbooks.errors import BadRequest, Refused, RunbookError, Unreachable
from store.migrated import Login
from store.settings import Settings

CONNECT_S = 5
"""Longest wait for the server to accept a connection, seconds, for each address that its name has."""

APPLICATION = "hoodcloud-runbooks"
"""How our sessions are called in pg_stat_activity."""

# libpq does not hand out the SQLSTATE of a refused connection, only the text, in the server's language. What is not
# understood counts as unreachable: the text is told, and nothing was changed.
_NO_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role \".*\" (does not exist|is not permitted)"
    r"|not permitted to log in|permission denied for database|pg_hba\.conf rejects"
)
_NO_DATABASE = re.compile(r"database \".*\" does not exist")


class Params(dict[str, Any]):
    """Parameters of a connection. Printed without their values: the password is among them."""

    def __repr__(self) -> str:
        return f"Params({', '.join(self)})"

    __str__ = __repr__


def params_of(login: Login, dbname: str, settings: Settings) -> tuple[Mapping[str, Any], str]:
    """The parameters for `connect`, and a notice for people: where the password came from, if not from Vault.

    Raises: BadRequest `password-file-open`, `password-file-missing`, or one about Vault's settings; Refused
    `password-missing`, or what Vault refused (what was withdrawn must not come back from a file); Unreachable, when
    Vault is away and no file is set.
    """
    found: dict[str, Any] = {
        "host": login.host,
        "port": login.port,
        "user": login.user,
        "dbname": dbname,
        "sslmode": login.sslmode,
        "connect_timeout": CONNECT_S,
        "application_name": APPLICATION,
    }
    if login.ca_file:
        found["sslrootcert"] = str(login.ca_file)
    password, notice = _password(login, settings)
    if password:
        found["password"] = password
    return Params(found), notice


def _password(login: Login, settings: Settings) -> tuple[str, str]:
    why = ""
    if login.password:
        try:
            found = secret_field(login.password, settings)
        except Unreachable:
            if not login.password_file:
                raise
            found, why = None, "Vault is away"
        if found is not None:
            return found, ""
        why = why or "no Vault is set"
    if not login.password_file:
        return "", why and f"{why}, so no password is given"
    return _from_file(login.password_file), why and f"{why}, the password came from {login.password_file}"


def secret_field(reference: str, settings: Settings) -> str | None:
    """What Vault holds at `reference` (mount/path#field), hidden in logs from now on; None when no Vault is set.

    Raises: as `keys.secret.read_secret`; Refused `password-missing` (Vault answers, and has no such secret or field).
    """
    asked = nodes.of(settings)
    if not asked:
        return None
    path, _, field = reference.partition("#")
    value = (read_secret(asked, path, settings) or {}).get(field)
    if not isinstance(value, str) or not value:
        raise Refused(
            "password-missing", f"Vault has no {reference}", hint="put it there, or correct the setting that names it"
        )
    redaction.hide([value])
    return value


def _from_file(path: Path) -> str:
    """Without the end of its line. It must belong to us or to root, and be closed to everybody else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    except OSError as error:
        raise _no_password_in(path, f"cannot be opened ({error.strerror})") from None
    try:
        found = os.fstat(handle)
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise _no_password_in(path, "is not a plain file")
        if mode not in (0o400, 0o600) or found.st_uid not in (0, os.geteuid()):
            raise BadRequest(
                "password-file-open",
                f"{path} has mode {mode:04o} and belongs to user {found.st_uid}",
                hint="make it 0400, and yours or root's; if others could read it, change the password too",
            )
        said = os.read(handle, 4096)
    finally:
        os.close(handle)
    try:
        password = said.decode().rstrip("\r\n")
    except ValueError:
        raise _no_password_in(path, "is not UTF-8") from None
    if not password or "\0" in password:
        raise _no_password_in(path, "holds no password")
    redaction.hide([password])
    return password


def _no_password_in(path: Path, why: str) -> BadRequest:
    return BadRequest("password-file-missing", f"{path} {why}", hint="put the password there, mode 0400")


def connect(params: Mapping[str, Any], *, read_only: bool = False, limit_s: float = 0) -> psycopg.Connection[Any]:
    """A connection in autocommit, each of whose statements may take `limit_s` (statement_timeout); 0: as
    long as the server lets it.

    Behind PgBouncer neither that nor `read_only` is set, because other people's transactions would inherit it: ask
    `pooled`, and leave.

    Raises: Unreachable `database-unreachable`, Refused `database-login-refused`, `database-missing`.
    """
    try:
        found = psycopg.connect(**params, autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        failed = _failed(params, str(error))
    else:
        return _limited(found, params, read_only=read_only, limit_s=limit_s)
    raise failed  # out here: psycopg's error holds the password, and would stay behind ours as its context


def _limited(
    conn: psycopg.Connection[Any], params: Mapping[str, Any], *, read_only: bool, limit_s: float
) -> psycopg.Connection[Any]:
    try:
        if not pooled(conn):
            if limit_s:
                conn.execute(f"SET statement_timeout = {max(int(limit_s * 1000), 1)}")
            conn.execute(f"SET default_transaction_read_only = {'on' if read_only else 'off'}")
    except psycopg.Error as error:
        failed = _failed(params, str(error))
    except BaseException:
        conn.close()
        raise
    else:
        return conn
    conn.close()
    raise failed


def pooled(conn: psycopg.Connection[Any]) -> bool:
    """Whether a pooler such as PgBouncer is between: it makes up a process id of its own for its client.

    Then a lock, which belongs to a session, may end up in anybody's.
    """
    row = conn.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    assert row is not None
    return bool(row[0] != conn.info.backend_pid)


def _failed(params: Mapping[str, Any], said: str) -> RunbookError:
    where = f"{params['dbname']} at {params['host']}:{params['port']}"
    password = str(params.get("password", ""))
    text = redaction.redacted(said.replace(password, redaction.HIDDEN) if password else said)
    if _NO_DATABASE.search(said):
        return Refused(
            "database-missing",
            f"there is no database {where}: {text}",
            hint="correct host, port and dbname of the setting",
        )
    if _NO_LOGIN.search(said):
        return Refused(
            "database-login-refused",
            f"{where} does not let {params['user']} in: {text}",
            hint="compare the password in Vault with the role's, and look at pg_hba.conf",
        )
    return Unreachable(
        "database-unreachable",
        f"{where} does not answer: {text}",
        hint="look whether PostgreSQL runs there; with a TLS error, compare sslmode and ca_file with the server's",
    )
