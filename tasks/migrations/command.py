"""Running a database's own migrate command, and reading golang-migrate's log: what it began last."""

import contextlib
import os
import re
import select
import selectors
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keys import redaction
from runbooks.errors import BadRequest
from store.migrated import MigratedDatabase

KEPT = 40
"""How many lines of the output are kept."""

GRACE_S = 10
"""From SIGTERM to SIGKILL, seconds."""

_LONGEST, _SHOWN = 65_536, 1000
"""Bytes of a line that are looked at, and characters of it that are shown."""

_NAMES = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "ENVIRONMENT", "SSL_CERT_FILE", "SSL_CERT_DIR")
_BEGINNINGS = ("HOODCLOUD_", "VAULT_", "DB_")
"""What of our own environment reaches the command: what it needs to find its configuration, and no secret of ours."""

_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]{0,30}://[^\s:/@'\"]*:)[^\s'\"]*@", re.IGNORECASE)
_WORD_PASSWORD = re.compile(
    r"(?P<before>\bpass(?:word|wd)?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;'\"&]+)", re.IGNORECASE
)

# migration.go and migrate.go of golang-migrate v4: `39/u name (12ms)`, or with -verbose `Start buffering 39/u name`,
# `Read and execute 39/u name`, `Finished 39/u name (read …, ran …)`. Loggers put words before and quotes around it.
_LOGGED = re.compile(
    r"(?P<verb>Start buffering |Read and execute |Finished )?(?<![\w./])(?P<version>\d{1,19})/(?P<way>[ud]) "
    r"(?P<name>[^\s\"]+)(?P<took> \([^)]*\d(?:[nµm]?s|m|h)\b[^)]*\))?"
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How the migrate command ended. `exit_code` is negative for a signal, as -9.

    `output_tail` holds its last lines, without secrets; `direction` (up, down, or empty) and `version` what it began
    last, so far as its log says.
    """

    exit_code: int
    output_tail: tuple[str, ...]
    direction: str
    version: int | None
    timed_out: bool


def run_migrate(database: MigratedDatabase, say: Callable[[str], None], on_line: Callable[[str], None]) -> Ran:
    """Runs the command of `database` to its end, `migrate_limit_s` at most; each line of its output goes to `on_line`.

    Raises: BadRequest `migrate-command-missing`; nothing ran.
    """
    environment = environment_of(os.environ)
    hidden = [value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= 4]
    redaction.hide(hidden)
    program = _started(database, environment)
    lines: deque[str] = deque(maxlen=KEPT)
    log = _Log()

    def read(raw: bytes) -> None:
        text = raw.decode(errors="replace").rstrip("\r")
        log.read(text)
        line = without_secrets(text, hidden)
        lines.append(line)
        on_line(line)

    try:
        timed_out = not _followed(program, read, time.monotonic() + database.migrate_limit_s)
    finally:
        _ended(program)
    if timed_out:
        say(
            f"the migrate command took longer than {database.migrate_limit_s:.0f} s and was killed; the server may"
            " still be at work on its last statement: whoever looks now must look for that first"
        )
    version, direction = (log.last.version, log.last.direction) if log.last else (None, "")
    code = -signal.SIGKILL if program.returncode is None else program.returncode
    return Ran(code, tuple(lines), direction, version, timed_out)


@dataclass(frozen=True, slots=True)
class Logged:
    """The file that golang-migrate's log names last: its version, up or down, and whether it came to its end."""

    version: int
    direction: str
    finished: bool


def direction_in(lines: Iterable[str]) -> Logged | None:
    """The file that golang-migrate ran last according to its log; None when it says nothing.

    Without -verbose it logs a file only when that is through: then one that failed is the next in the same direction.
    """
    log = _Log()
    for line in lines:
        log.read(line)
    return log.last


class _Log:
    """What the lines of golang-migrate's log say that was run last."""

    def __init__(self) -> None:
        self._run: Logged | None = None
        self._buffered: Logged | None = None

    @property
    def last(self) -> Logged | None:
        return self._run or self._buffered

    def read(self, line: str) -> None:
        if "migration failed" in line:
            return  # that quotes the file's own text
        match = _LOGGED.search(line)
        if not match or not (match["verb"] or match["took"]):
            return
        finished = match["verb"] == "Finished " or (not match["verb"] and bool(match["took"]))
        found = Logged(int(match["version"]), {"u": "up", "d": "down"}[match["way"]], finished)
        if match["verb"] != "Start buffering ":
            self._run = found
        elif self._buffered is None:  # it reads ahead: only the first of them is sure to come to its turn
            self._buffered = found


def environment_of(ours: Mapping[str, str]) -> dict[str, str]:
    """What of our environment the command gets."""
    return {name: value for name, value in ours.items() if name in _NAMES or name.startswith(_BEGINNINGS)}


def without_secrets(line: str, hidden: Iterable[str] = ()) -> str:
    """`line` as it may be shown: no known secret, no password of an URL, nothing that moves a terminal's cursor."""
    for value in hidden:
        line = line.replace(value, redaction.HIDDEN)
    line = redaction.redacted(line)
    for pattern in (_URL_PASSWORD, _WORD_PASSWORD):
        end = "@" if pattern is _URL_PASSWORD else ""
        line = pattern.sub(lambda match, end=end: f"{match['before']}{redaction.HIDDEN}{end}", line)  # type: ignore[misc]
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"


def _started(database: MigratedDatabase, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    folder = database.migrate_folder or Path.cwd()
    if not database.migrate:
        raise _missing(f"no migrate command is set for {database.address}")
    if not folder.is_dir():
        raise _missing(f"{folder}, in which the migrate command runs, is no folder")
    first = database.migrate[0]
    found = str(folder / first) if "/" in first else shutil.which(first, path=environment.get("PATH"))
    if not found or not os.access(found, os.X_OK) or not Path(found).is_file():
        raise _missing(f"{found or first} is no program that this user may run")
    try:
        return subprocess.Popen(
            [found, *database.migrate[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=folder,
            env=environment,
            start_new_session=True,  # a group of its own, to be ended as a whole
        )
    except OSError as error:
        raise _missing(f"{found} cannot be run ({error.strerror})") from None


def _missing(said: str) -> BadRequest:
    return BadRequest(
        "migrate-command-missing", said, hint="correct `migrate` and `migrate_folder` of the database's setting"
    )


def _followed(program: "subprocess.Popen[bytes]", read: Callable[[bytes], None], deadline: float) -> bool:
    """Reads lines as they come until the program has ended (True), or the deadline (monotonic) has passed.

    A process that it leaves behind may keep the pipe open: its own end counts, not the pipe's.
    """
    assert program.stdout is not None
    pipe, rest = program.stdout.fileno(), bytearray()
    os.set_blocking(pipe, False)
    ended = os.pidfd_open(program.pid)
    try:
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, selectors.EVENT_READ)
            ready.register(ended, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                over = {key.fd for key, _ in ready.select(left)}
                if pipe in over and not _read_some(pipe, rest, read):
                    ready.unregister(pipe)
                elif ended in over and pipe not in over:
                    break
            if rest:
                read(bytes(rest[:_LONGEST]))
            return program.poll() is not None
    finally:
        os.close(ended)


def _read_some(pipe: int, rest: bytearray, read: Callable[[bytes], None]) -> bool:
    """Whole lines of what is there go to `read`, what is begun stays in `rest`. False at the end of the pipe."""
    try:
        chunk = os.read(pipe, 65_536)
    except BlockingIOError:
        return True
    for number, piece in enumerate(chunk.split(b"\n")):
        if number:
            read(bytes(rest))
            rest.clear()
        rest += piece[: max(_LONGEST - len(rest), 0)]
    return bool(chunk)


def _ended(program: "subprocess.Popen[bytes]") -> None:
    """Ends the whole group of what still runs, and waits for it.

    It is waited for without being reaped, so that the group's number stays its own until the last signal.
    """
    assert program.stdout is not None
    if program.poll() is None:
        ended = os.pidfd_open(program.pid)
        os.killpg(program.pid, signal.SIGTERM)
        select.select([ended], [], [], GRACE_S)
        os.killpg(program.pid, signal.SIGKILL)
        os.close(ended)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel may hold on to it: a disk that hangs
            program.wait(GRACE_S)
    program.stdout.close()
