"""The backup before a repair: the schema of everything and the rows of the touched tables, in one archive.

To S3, or to disk when S3 is away, refuses or is not set. A backup counts when its `.sha256` lies beside it, which is
written last; one that counts is kept, so that one incident has one backup however often its run is started again.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from runbooks.errors import BadRequest, Refused, Unreachable
from store.settings import Settings
from tasks.migrations import backup_disk, backup_s3, login, programs
from tasks.migrations.backup_disk import Stored
from tasks.migrations.dump import Dump, failed

_LIST_S = 10

_ROWS_LEFT_OUT = """
WITH RECURSIVE wanted(oid) AS (
    SELECT to_regclass(name)::oid FROM unnest(%(tables)s::text[]) name WHERE to_regclass(name) IS NOT NULL
    UNION SELECT inhrelid FROM pg_inherits JOIN wanted ON inhparent = wanted.oid
), relation AS (
    SELECT nspname::text AS schema, relname::text AS name, c.oid IN (SELECT oid FROM wanted) AS kept
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'm', 'f') AND nspname !~ '^pg_(toast|temp)' AND nspname <> 'information_schema'
      AND nspname <> 'pg_catalog'
), emptied AS (SELECT schema FROM relation GROUP BY 1 HAVING NOT bool_or(kept))
SELECT schema, '' FROM emptied
UNION ALL SELECT schema, name FROM relation WHERE NOT kept AND schema NOT IN (SELECT schema FROM emptied)
ORDER BY 1, 2
"""

_UNREADABLE = """
SELECT nspname::text, relname::text,
       c.oid IN (SELECT to_regclass(name)::oid FROM unnest(%(tables)s::text[]) name WHERE to_regclass(name) IS NOT NULL)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'm', 'v', 'f', 'S') AND nspname !~ '^pg_(toast|temp)' AND nspname <> 'information_schema'
  AND nspname <> 'pg_catalog' AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
  AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'))
ORDER BY 1, 2
"""
"""What pg_dump could not lock or read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup goes: `bucket` (s3://bucket/prefix, or None), else `folder`.

    `file` is the archive's name, a word without slashes: the same for the same incident and tables, and for no others.
    """

    bucket: str | None
    folder: Path
    file: str

    @property
    def address(self) -> str:
        """Where the backup will be if nothing comes between, for a plan."""
        return f"{self.bucket.rstrip('/')}/{self.file}" if self.bucket else str(self.folder / self.file)


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is there, whole. `restore` are the commands that bring it back into a database of its own, for a
    shell; `notice` what people should know: that it is not where it should be, or was there already.
    """

    place: str
    sha256: str
    bytes: int
    restore: str
    notice: str


def back_up(
    params: Mapping[str, Any],
    server_version_num: int,
    tables: Sequence[str],
    where: Place,
    settings: Settings,
    say: Callable[[str], None],
) -> Made:
    """Makes the backup, unless it is there, and proves that it can be read back. Nothing in the database changes.

    `tables` are the ones whose rows are saved, qualified and quoted; the version table must be among them. Partitions
    and children come with them. A table that is not there has no rows. Large objects and the rows of materialized views
    are left out.

    Raises: StepFailed `backup-failed`; Refused `pg-dump-missing`, Unreachable, Refused of `login.connect`.
    """
    found, away = _find(where, settings)
    notice = "The backup of this incident was there already, and is kept."
    if found is None:
        found, away = _store(_dumps(params, server_version_num, tables, settings), where, settings, away)
        notice = away and f"The backup is on this host's disk and not in S3: {away}"
    if notice:
        say(notice)
    return _made(params, found, where, settings, notice)


def existing(where: Place, params: Mapping[str, Any], settings: Settings) -> Made | None:
    """The whole backup that is there already, in S3 or on disk. Raises nothing."""
    found, _ = _find(where, settings)
    return _made(params, found, where, settings, "") if found else None


def _find(where: Place, settings: Settings) -> tuple[Stored | None, str]:
    """What is there, and why S3 could not be asked: then it need not be waited for again."""
    found, away = None, ""
    if where.bucket:
        try:
            found = backup_s3.find(where.bucket, where.file, settings)
        except (Unreachable, Refused, BadRequest) as error:
            away = error.message
    return found or backup_disk.find(where.folder, where.file), away


def _store(dump: Callable[[], Dump], where: Place, settings: Settings, away: str) -> tuple[Stored, str]:
    if where.bucket and not away:
        try:
            return backup_s3.store(dump, where.bucket, where.file, settings), ""
        except (Unreachable, Refused, BadRequest) as error:
            away = error.message
    return backup_disk.store(dump, where.folder, where.file), away


def _dumps(
    params: Mapping[str, Any], server_version_num: int, tables: Sequence[str], settings: Settings
) -> Callable[[], Dump]:
    pg_dump = programs.program("pg_dump", server_version_num, settings)
    left_out = _left_out(params, tables)
    options = [f"--exclude-table-data={pattern}" for pattern in left_out.rows]
    options += [f"--exclude-table={pattern}" for pattern in left_out.unreadable]
    return lambda: Dump(pg_dump, params, options)


def _made(params: Mapping[str, Any], found: Stored, where: Place, settings: Settings, notice: str) -> Made:
    commands = restore(params, found.place, where.file, found.sha256, settings)
    return Made(found.place, found.sha256, found.bytes, commands, notice)


def restore(params: Mapping[str, Any], place: str, file: str, sha256: str, settings: Settings) -> str:
    """The commands that bring the archive back into an empty database beside the live one, for bash, a line each.

    In two parts: tables and rows must come back without an error; then indexes and constraints, where foreign keys to
    tables whose rows are not in it are reported and left out.
    """

    def quoted(value: object) -> str:
        return shlex.quote(str(value))

    where = {
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGSSLMODE": "sslmode",
        "PGSSLROOTCERT": "sslrootcert",
    }
    lines = ["export " + " ".join(f"{name}={quoted(params[key])}" for name, key in where.items() if params.get(key))]
    if place.startswith("s3://"):
        endpoint = f" --endpoint-url {quoted(settings.s3_endpoint)}" if settings.s3_endpoint else ""
        lines.append(f"aws s3 cp {quoted(place)} {quoted(file)}{endpoint}")
        archive = file
    else:
        archive = place
    database = f"{params['dbname']}_restored"
    target = quoted("dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'")
    return "\n".join(
        (
            *lines,
            f"sha256sum --check <<< {quoted(f'{sha256}  {archive}')}",
            f"createdb --template=template0 -- {quoted(database)}",
            f"pg_restore --exit-on-error --section=pre-data --section=data --dbname={target} {quoted(archive)}",
            f"pg_restore --section=post-data --dbname={target} {quoted(archive)}",
        )
    )


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Patterns of pg_dump: whose rows are not wanted, and what our role may not read, so that nobody can dump it."""

    rows: tuple[str, ...]
    unreadable: tuple[str, ...]


def _left_out(params: Mapping[str, Any], tables: Sequence[str]) -> _LeftOut:
    """In double quotes a pattern is taken as it stands; where a schema has no other, there is one for the schema.

    Raises: StepFailed `backup-failed`, also when our role may not read one of `tables`.
    """
    try:
        with login.connect(params, read_only=True, limit_s=_LIST_S) as conn:
            rows = conn.execute(_ROWS_LEFT_OUT, {"tables": list(tables)}).fetchall()
            closed = conn.execute(_UNREADABLE, {"tables": list(tables)}).fetchall()
    except psycopg.Error as error:
        raise failed(f"the tables cannot be listed ({error.diag.message_primary or type(error).__name__})") from None
    if wanted := [f"{schema}.{name}" for schema, name, is_wanted in closed if is_wanted]:
        raise failed(f"{params['user']} may not read {', '.join(wanted)}")
    return _LeftOut(
        tuple(f"{_exactly(schema)}.{_exactly(name) if name else '*'}" for schema, name in rows),
        tuple(f"{_exactly(schema)}.{_exactly(name)}" for schema, name, _ in closed),
    )


def _exactly(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
