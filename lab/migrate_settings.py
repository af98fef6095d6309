"""What `./migrate` is told: HoodCloud's variables, and the parameters that golang-migrate takes in its URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbooks.errors import BadRequest

LOCKS = ("url", "library")
MOMENTS = ("", "before-file", "after-file")


@dataclass(frozen=True, slots=True)
class MigrateSettings:
    """Which database, which files, and how.

    `table` is `x-migrations-table`; in double quotes, `x-migrations-table-quoted` holds, and `"schema"."table"` may be
    said. `multi_statement` is `x-multi-statement`, `statement_timeout_ms` is `x-statement-timeout` (0: none). `lock` is
    the way in which the driver was opened, which decides the lock's id: `url` or `library`. `dies` lets the program
    kill itself, with SIGKILL: between the dirty mark and the file, or between the file and the clean mark.
    """

    host: str
    port: int
    user: str
    dbname: str
    folder: Path
    password: str = field(default="", repr=False)
    sslmode: str = "disable"
    table: str = "schema_migrations"
    multi_statement: bool = False
    statement_timeout_ms: int = 0
    lock: str = "url"
    dies: str = ""

    def connection(self) -> dict[str, Any]:
        """What libpq is given."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
            "sslmode": self.sslmode,
        }

    def version_table(self, current_schema: str) -> tuple[str, str]:
        """Schema and name of the version table."""
        if not self.table.startswith('"'):
            return current_schema, self.table
        *schema, name = re.findall(r'"(.*?)"', self.table)
        return (schema[0] if schema else current_schema), name

    def variables(self) -> dict[str, str]:
        """The environment that says the same to the program; the password is in it."""
        return {
            "DB_HOST": self.host,
            "DB_PORT": str(self.port),
            "DB_USER": self.user,
            "DB_PASSWORD": self.password,
            "DB_NAME": self.dbname,
            "DB_SSL_MODE": self.sslmode,
            "MIGRATIONS_PATH": str(self.folder),
            "MIGRATE_TABLE": self.table,
            "MIGRATE_MULTI_STATEMENT": str(self.multi_statement).lower(),
            "MIGRATE_STATEMENT_TIMEOUT_MS": str(self.statement_timeout_ms),
            "MIGRATE_LOCK": self.lock,
            "MIGRATE_DIES": self.dies,
        }


def settings_from(environment: Mapping[str, str], dotenv: Path) -> MigrateSettings:
    """From the environment, else from the file. Raises: BadRequest `migrate-settings`, which names the variable."""
    known = {**_read(dotenv), **environment}

    def one_of(name: str, allowed: tuple[str, ...]) -> str:
        if known.get(name, allowed[0]) not in allowed:
            raise BadRequest("migrate-settings", f"{name} is {known[name]!r}", hint=f"it may be: {', '.join(allowed)}")
        return known.get(name, allowed[0])

    def number(name: str, default: str) -> int:
        if not known.get(name, default).isdecimal():
            raise BadRequest("migrate-settings", f"{name} is {known[name]!r}", hint="it must be a number")
        return int(known.get(name, default))

    missing = [name for name in ("DB_USER", "DB_NAME") if not known.get(name)]
    if missing:
        raise BadRequest("migrate-settings", f"{missing[0]} is not set", hint=f"set it, here or in {dotenv}")
    return MigrateSettings(
        host=known.get("DB_HOST", "127.0.0.1"),
        port=number("DB_PORT", "5432"),
        user=known["DB_USER"],
        password=known.get("DB_PASSWORD", ""),
        dbname=known["DB_NAME"],
        sslmode=known.get("DB_SSL_MODE", "disable"),
        folder=Path(known.get("MIGRATIONS_PATH", "migrations").removeprefix("file://")),
        table=known.get("MIGRATE_TABLE", "schema_migrations"),
        multi_statement=one_of("MIGRATE_MULTI_STATEMENT", ("false", "true")) == "true",
        statement_timeout_ms=number("MIGRATE_STATEMENT_TIMEOUT_MS", "0"),
        lock=one_of("MIGRATE_LOCK", LOCKS),
        dies=one_of("MIGRATE_DIES", MOMENTS),
    )


def _read(dotenv: Path) -> dict[str, str]:
    """`NAME=value` lines; quotes around the value are taken off; a file that is not there says nothing."""
    if not dotenv.is_file():
        return {}
    lines = (line.removeprefix("export ").partition("=") for line in dotenv.read_text(encoding="utf-8").splitlines())
    return {
        name.strip(): value.strip().strip("'\"") for name, equals, value in lines if equals and not name.startswith("#")
    }
