"""What a scratch database must have in common with the live one, so that the same files do the same in it."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

_DATABASE = """
SELECT current_database()::text, current_setting('server_version_num')::int, current_user::text,
    current_setting('search_path'), pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text,
    coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', '')
FROM pg_database d WHERE datname = current_database()
"""
"""The provider is a column from PostgreSQL 15 on; its locale has another name from 17 on."""

# What postgresql.conf says is the server's, and of those only the ones that a session may set are ours to set.
_SETTINGS = """
SELECT name, current_setting(name), context FROM pg_settings
WHERE source IN ('database', 'user', 'database user') AND name <> 'search_path' ORDER BY name
"""
_EXTENSIONS = """
SELECT extname::text, nspname::text, extversion FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname <> 'plpgsql' ORDER BY extname
"""
_DEFAULTS = """
SELECT pg_get_userbyid(defaclrole)::text, coalesce(nspname::text, ''), defaclobjtype::text,
    coalesce(CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END, ''),
    coalesce(string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), ''), coalesce(a.is_grantable, false)
FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
    LEFT JOIN LATERAL aclexplode(defaclacl) a ON true
GROUP BY 1, 2, 3, 4, 6 ORDER BY 1, 2, 3, 4, 6
"""
_ROLES = """
WITH named AS (
    SELECT refobjid AS oid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
        AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION SELECT oid FROM pg_roles WHERE rolname IN (current_user, session_user) OR oid = 10)
SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolinherit,
    ARRAY(SELECT pg_get_userbyid(roleid)::text FROM pg_auth_members WHERE member = r.oid ORDER BY 1)
FROM pg_roles r JOIN named USING (oid) WHERE rolname !~ '^pg_' ORDER BY rolname
"""
"""Who owns something here, is granted something or is named by a policy: pg_shdepend knows them all but the
first superuser, whose oid is 10 (BOOTSTRAP_SUPERUSERID)."""

_OBJECTS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the live server: what it may do, and which roles it is a member of. Never its password."""

    name: str
    superuser: bool = False
    create_role: bool = False
    create_db: bool = False
    bypass_rls: bool = False
    inherit: bool = True
    member_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a scratch database shares with the live one.

    `settings` are those that the live role or database sets, and that a session may set; `others` the names of those
    that it may not. `extensions` are name, schema and version. `default_privileges` are statements, by schema (empty:
    everywhere).
    """

    database: str
    server_version_num: int
    role: str
    search_path: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str
    settings: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()
    extensions: tuple[tuple[str, str, str], ...] = ()
    default_privileges: tuple[tuple[str, str], ...] = ()
    roles: tuple[Role, ...] = ()

    @property
    def major(self) -> int:
        """The major version of its server."""
        return self.server_version_num // 10_000

    @property
    def digest(self) -> str:
        """SHA-256 over all of it: two databases with the same digest need no two templates."""
        said = "\n".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return hashlib.sha256(said.encode()).hexdigest()


def likeness_of(conn: psycopg.Connection[Any]) -> Likeness:
    """What the database of `conn` is like, seen by the role that migrates. Raises: psycopg.Error."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        one = cursor.execute(_DATABASE).fetchone()
        assert one is not None
        settings = cursor.execute(_SETTINGS).fetchall()
        superuser = conn.info.parameter_status("is_superuser") == "on"
        ours = {"user", "superuser"} if superuser else {"user"}
        database, number, role, path, encoding, collate, ctype, provider, locale = one
        return Likeness(
            database=database,
            server_version_num=number,
            role=role,
            search_path=path,
            encoding=encoding,
            collate=collate,
            ctype=ctype,
            provider=provider,
            locale=locale,
            settings=tuple((name, value) for name, value, context in settings if context in ours),
            others=tuple(name for name, _, context in settings if context not in ours),
            extensions=tuple(cursor.execute(_EXTENSIONS).fetchall()),
            default_privileges=tuple(_default_privileges(conn, cursor.execute(_DEFAULTS).fetchall())),
            roles=tuple(_role(*row) for row in cursor.execute(_ROLES).fetchall()),
        )


def _role(name: str, *row: Any) -> Role:
    superuser, create_role, create_db, bypass_rls, inherit, groups = row
    return Role(name, superuser, create_role, create_db, bypass_rls, inherit, tuple(groups))


def makes_extension(text: str, name: str) -> bool:
    """Whether migrations make the extension `name` themselves, so far as their words tell."""
    return re.search(rf"create\s+extension\s[^;]*\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


def make_alike(conn: psycopg.Connection[Any], like: Likeness, files: Iterable[str] = ()) -> tuple[str, ...]:
    """Gives the fresh database of `conn` (autocommit) the extensions and default privileges of the live one.

    What `files`, the texts of all migrations, make themselves is left to them, or they would meet it and fail. Returns
    a sentence for each thing that could not be had: mostly nothing depends on it, and where something does, the replay
    says so. Raises: psycopg.OperationalError, when the server is lost.
    """
    texts = "\n".join(files).lower()
    notes = [f"the live database sets {name}, which a session may not" for name in like.others]
    for name, schema, version in like.extensions:
        if not makes_extension(texts, name):
            if schema != "pg_catalog" and not re.search(
                rf"create\s+schema\s[^;]*\b{re.escape(schema.lower())}\b", texts
            ):
                notes += _try(conn, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)), schema)
            notes += _make_extension(conn, name, schema, version)
    if not re.search(r"alter\s+default\s+privileges", texts):
        for _, statement in like.default_privileges:
            notes += _try(conn, statement.encode(), statement)
    return tuple(notes)


def _make_extension(conn: psycopg.Connection[Any], name: str, schema: str, version: str) -> list[str]:
    """In the version that the live one has, else in the one that there is."""
    make = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}").format(sql.Identifier(name), sql.Identifier(schema))
    failed = _try(conn, make + sql.SQL(" VERSION {}").format(version), f"extension {name} {version}")
    if failed and not _try(conn, make, name):
        return [f"extension {name}: the live database has {version}, this server only another version"]
    return failed


def _try(conn: psycopg.Connection[Any], statement: sql.Composed | bytes, what: str) -> list[str]:
    try:
        conn.execute(statement)
    except psycopg.OperationalError:
        if conn.closed:
            raise
        return [f"{what}: there is no room or right for it"]
    except psycopg.Error as error:
        return [f"{what}: {error.diag.message_primary or error}"]
    return []


def _default_privileges(conn: psycopg.Connection[Any], rows: list[Any]) -> Iterable[tuple[str, str]]:
    """Statements for pg_default_acl. A row for all schemas replaces what is usual: that is revoked."""
    seen = set[tuple[str, str, str]]()
    for role, schema, kind, grantee, privileges, grantable in rows:
        ident = [sql.Identifier(name).as_string(conn) for name in (role, schema or "-", grantee or "-")]
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {ident[0]}{f' IN SCHEMA {ident[1]}' if schema else ''}"
        if not schema and (role, schema, kind) not in seen:
            for usual in ("PUBLIC", ident[0]):
                yield schema, f"{head} REVOKE ALL ON {_OBJECTS[kind]} FROM {usual}"
        seen.add((role, schema, kind))
        if privileges:
            to = (ident[2] if grantee else "PUBLIC") + (" WITH GRANT OPTION" if grantable else "")
            yield schema, f"{head} GRANT {privileges} ON {_OBJECTS[kind]} TO {to}"
