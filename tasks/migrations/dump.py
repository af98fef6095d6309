"""pg_dump at work: its output as a file to read from, hashed on the way, that ends well only if pg_dump did."""

import contextlib
import hashlib
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from keys import redaction
from runbooks.errors import StepFailed
from tasks.migrations import programs

SILENT_S = 120
"""After how many seconds without a byte pg_dump is given up: otherwise it dumps all the time."""

LOCK_WAIT = "5s"
"""How long pg_dump waits for a table that somebody changes."""

_ENDS_S = 10
_OPTIONS = ("--format=custom", "--compress=1", "--no-password", "--no-blobs")
_SET_BY_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "dbname": "PGDATABASE",  # as an option, a name with = in it would be taken for a connection string
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME",
}


class Dump:
    """The schema of a database and the rows of some tables of it, as a file object: pg_dump's own format. `left_out`
    are its options for what is not wanted.

    `read` raises StepFailed `backup-failed` instead of giving the end, if pg_dump did not end well: whoever copies it
    never has a whole file of a broken dump. Use it in a `with`: what still runs at its end is killed.
    """

    def __init__(self, pg_dump: Path, params: Mapping[str, Any], left_out: Sequence[str]) -> None:
        self.bytes = 0
        """How many were read."""
        self._hash = hashlib.sha256()
        self._over = False
        self._secret = str(params.get("password", ""))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__; a pipe that nobody reads fills up
        command = [
            str(pg_dump),
            *_OPTIONS,
            f"--lock-wait-timeout={LOCK_WAIT}",
            *left_out,
        ]
        try:
            self._program = subprocess.Popen(
                programs.tied(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                env=environment(params),
                process_group=0,
            )
        except OSError as error:
            self._errors.close()
            raise failed(f"pg_dump cannot be started ({error.strerror})") from None

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end: S3's uploader takes a short read for the end."""
        assert size >= 0 or self._over, "a dump is never read into memory as a whole"
        found = bytearray()
        while len(found) < size and not self._over:
            chunk = self._next(size - len(found))
            found += chunk
            self._over = not chunk
        self._hash.update(found)
        self.bytes += len(found)
        return bytes(found)

    def _next(self, size: int) -> bytes:
        assert self._program.stdout is not None
        if not select.select([self._program.stdout], [], [], SILENT_S)[0]:
            raise failed(f"pg_dump gave nothing for {SILENT_S} s")
        chunk: bytes = self._program.stdout.read(min(size, 1 << 20))
        if not chunk:
            self._check()
        return chunk

    def _check(self) -> None:
        try:
            code = self._program.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            raise failed("pg_dump does not end") from None
        if code:
            self._errors.seek(0)
            said = self._errors.read(4000).decode(errors="replace")
            said = said.replace(self._secret, redaction.HIDDEN) if self._secret else said
            raise failed(f"pg_dump ended with {code}: {redaction.redacted(said)[:1000]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._program.stdout is not None
        if self._program.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._program.pid, signal.SIGKILL)
            self._program.wait()
        self._program.stdout.close()
        self._errors.close()


def environment(params: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a program of PostgreSQL that is to log in with `params`; the password is among them."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PGPASSFILE") if name in os.environ}
    mine = {_SET_BY_ENVIRONMENT[name]: str(value) for name, value in params.items() if name in _SET_BY_ENVIRONMENT}
    return {**kept, "LC_ALL": "C", **mine}


def failed(why: str) -> StepFailed:
    """A backup that was not made. The database is as it was."""
    error = StepFailed(
        "backup-failed",
        f"no backup was made: {why}",
        hint="mend that and start the run again; the database is as it was",
    )
    error.nothing_changed = True
    return error
