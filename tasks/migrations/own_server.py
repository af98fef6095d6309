"""A scratch PostgreSQL of the run's own: in memory, reachable by nobody else, gone with the run.

Copying a database is ten times faster there than on a disk, and the live server has no work from us. Its data folder
stays between runs, under a lock, so that the next start takes a tenth of a second and finds the templates again.

    /dev/shm/hoodcloud-runbooks-<uid>/     0700, of this user
        pg18-0/                            kept
        pg18-1/                            of a second run at the same time; removed at its end, or by the next run
        pg18-0.lock                        held by who uses pg18-0
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from runbooks.errors import Refused
from store.settings import Settings
from tasks.migrations.likeness import Likeness, Role
from tasks.migrations.login import Params
from tasks.migrations.programs import find

_KEEPER = Path(__file__).with_name("keeper.py")
_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own in it, closed and checked
_START_S = 20
"""Longest start, seconds; a data folder that was killed in the middle replays its log first."""

_PROGRAMS = ("initdb", "postgres")
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "20",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "timezone": "UTC",
    # a killed server leaves nothing in /dev/shm but its folder
    "dynamic_shared_memory_type": "mmap",
}


@contextlib.contextmanager
def own_server(like: Likeness, settings: Settings, *, root: Path | None = None) -> Iterator[Mapping[str, Any]]:
    """Parameters of a connection as the superuser of a PostgreSQL of this run's own, stopped at the end.

    It is of the major version of `like`, has its roles, unable to log in, and an empty database of its name, because
    migrations name that (GRANT … ON DATABASE). `root` is where its folder lies, if not in memory.
    Raises: Refused `no-scratch-server`.
    """
    folder = _folder(root or (_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())))
    initdb, postgres = (find(name, like.server_version_num, settings, same_major=True) for name in _PROGRAMS)
    if initdb is None or postgres is None:
        raise Refused(
            "no-scratch-server",
            f"there is no PostgreSQL {like.major} on this host to start for scratch databases",
            hint=f"install postgresql-{like.major}, set RUNBOOK_POSTGRES_FOLDER, or set scratch to same-server",
        )
    with _place(folder, like.major) as (place, lock), _running(place, lock, initdb, postgres) as params:
        with psycopg.connect(**params, autocommit=True) as conn:
            _make_roles(conn, like.roles)
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(like.database)))
        yield params


def _folder(root: Path) -> Path:
    """This user's folder in `root`, where everybody may write: so it must be ours, and closed."""
    folder = root / f"hoodcloud-runbooks-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Refused(
            "no-scratch-server",
            f"{folder} belongs to somebody else or is open to others",
            hint="find out who made it, and remove it",
        )
    return folder


@contextlib.contextmanager
def _place(folder: Path, major: int) -> Iterator[tuple[Path, int]]:
    """The first place that no other run uses, and its lock; what other runs left is removed, but for the first."""
    with contextlib.ExitStack() as held:
        for number in range(100):
            place = folder / f"pg{major}-{number}"
            if (lock := _lock(place, held)) is not None:
                break
        else:
            raise Refused("no-scratch-server", f"{folder} is full", hint="see which runs use it")
        for old in folder.glob(f"pg{major}-[0-9]*"):
            if old.suffix != ".lock" and old.name != f"pg{major}-0" and old != place:
                with contextlib.ExitStack() as briefly:
                    if _lock(old, briefly) is not None:
                        _remove(old)
        try:
            yield place, lock
        finally:
            if number:
                _remove(place)


def _lock(place: Path, held: contextlib.ExitStack) -> int | None:
    """The handle of the lock of a place, None if somebody holds it."""
    file = held.enter_context(place.with_suffix(".lock").open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    return file.fileno()


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.with_suffix(".lock").unlink(missing_ok=True)


@contextlib.contextmanager
def _running(place: Path, lock: int, initdb: Path, postgres: Path) -> Iterator[Mapping[str, Any]]:
    if not (place / "whole").exists():  # else somebody was killed while making it
        shutil.rmtree(place, ignore_errors=True)
        _make(place, initdb)
    log, data = place / "log", place / "data"
    for left in ("postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):  # of a killed one
        (data / left).unlink(missing_ok=True)
    options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
    command = [*_unprivileged(), str(postgres), "-D", str(data), "-k", str(data), *options]
    with log.open("wb") as file:
        keeper = subprocess.Popen(
            [sys.executable, "-IS", str(_KEEPER), *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C in the terminal is for the run alone
            pass_fds=(lock,),  # held as long as any process of the server lives, also when we are killed
        )
    params = Params(host=str(data), user="postgres", dbname="postgres", connect_timeout=5)
    try:
        _wait(params, keeper, log)
        yield params
    finally:
        keeper.communicate()  # the end of its input; it ends when nothing of the server is left


def _make(place: Path, initdb: Path) -> None:
    """Whoever can reach the socket may come in: the folder is closed to all others, and there is no other way."""
    (data := place / "data").mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(data, account.pw_uid, account.pw_gid)
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    done = subprocess.run(
        [*_unprivileged(), str(initdb), "-D", str(data), *options],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C"},
        check=False,
    )
    if done.returncode:
        raise Refused("no-scratch-server", f"initdb said: {done.stderr[-500:]}", hint=f"look at {place}")
    (place / "whole").touch()


def _wait(params: Mapping[str, Any], keeper: "subprocess.Popen[bytes]", log: Path) -> None:
    """Returns when it answers. Raises: Refused `no-scratch-server`, with the end of its log."""
    deadline, said = time.monotonic() + _START_S, ""
    while keeper.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(**params).close()
        except psycopg.OperationalError:
            time.sleep(0.005)
        else:
            return
    said = log.read_text(errors="replace")[-500:]
    raise Refused("no-scratch-server", f"our own PostgreSQL did not come up: {said}", hint=f"read {log}")


def _make_roles(conn: psycopg.Connection[Any], roles: tuple[Role, ...]) -> None:
    """The roles with what they may do and belong to; none can log in. Those of earlier runs are brought up to date."""
    there = {row[0] for row in conn.execute("SELECT rolname::text FROM pg_roles")}
    for role in roles:
        words = [
            ("" if has else "NO") + word
            for word, has in (
                ("SUPERUSER", role.superuser),
                ("CREATEROLE", role.create_role),
                ("CREATEDB", role.create_db),
                ("BYPASSRLS", role.bypass_rls),
                ("INHERIT", role.inherit),
            )
        ]
        if role.name != "postgres":
            verb = "ALTER" if role.name in there else "CREATE"
            conn.execute(sql.SQL(f"{verb} ROLE {{}} {' '.join(words)}").format(sql.Identifier(role.name)))
    names = there | {role.name for role in roles}
    for role in roles:
        for group in set(role.member_of) & names:
            conn.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(role.name)))


def _unprivileged() -> tuple[str, ...]:
    """PostgreSQL refuses to run as root; as root it gets the account `nobody`, and may still cross our closed folder.

    The parent-death signal is set again, because a change of account clears it, prctl(2).
    """
    if os.geteuid() != 0:
        return ()
    setpriv, account = shutil.which("setpriv"), pwd.getpwnam("nobody")
    if setpriv is None:
        raise Refused(
            "no-scratch-server",
            "PostgreSQL does not run as root, and there is no setpriv to run it as another",
            hint="run as another user, or install util-linux",
        )
    may = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return (
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        *may,
        "--pdeathsig=KILL",
    )
