"""Backups on this host's disk: readable for us alone, and there whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.migrations.dump import Dump, failed

_CHUNK = 1 << 20
_PART = ".part"


@dataclass(frozen=True, slots=True)
class Stored:
    """An archive that is there, whole."""

    place: str
    sha256: str
    bytes: int


def store(dump: Callable[[], Dump], folder: Path, file: str) -> Stored:
    """Writes the dump to `folder`/`file`, and its digest beside it. Raises: StepFailed `backup-failed`; then no part of
    it stays.
    """
    place = folder / file
    try:
        _own_folder(folder)
        _sweep(folder)
        with dump() as source, _replaced(place) as target:
            while chunk := source.read(_CHUNK):
                _write(target, chunk)
        with _replaced(_beside(place)) as target:
            _write(target, f"{source.sha256}  {file}\n".encode())
    except OSError as error:
        raise failed(f"{folder} cannot be written ({error.strerror})") from None
    return Stored(str(place), source.sha256, source.bytes)


def find(folder: Path, file: str) -> Stored | None:
    """The whole archive `folder`/`file` if it is there, and still what its digest says."""
    place = folder / file
    try:
        digest = _beside(place).read_text(encoding="utf-8")
        with place.open("rb") as archive:
            found, size = hashlib.file_digest(archive, "sha256").hexdigest(), archive.tell()
    except (OSError, ValueError):
        return None
    return Stored(str(place), found, size) if digest == f"{found}  {file}\n" else None


def _beside(place: Path) -> Path:
    return place.with_name(f"{place.name}.sha256")


def _own_folder(folder: Path) -> None:
    """Raises: OSError, StepFailed when others could put their own file in the place of ours."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if stat.S_IMODE(found.st_mode) & 0o022 or found.st_uid not in (0, os.geteuid()):
        raise failed(f"others may write to {folder}; make it 0700 and ours")


def _sweep(folder: Path) -> None:
    """Removes what runs that died left half-written: whoever still writes holds a lock on his part."""
    for part in folder.glob(f".*{_PART}"):
        with contextlib.suppress(OSError):
            handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
            finally:
                os.close(handle)


@contextmanager
def _replaced(place: Path) -> Iterator[int]:
    """A handle to write to, whose content is at `place` at the end of the `with`, flushed; or nothing is, on error."""
    part = place.with_name(f".{place.name}.{os.getpid()}{_PART}")
    handle = _locked_new(part)
    try:
        yield handle
        os.fsync(handle)
        part.rename(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(handle)


def _locked_new(part: Path) -> int:
    """A new file, 0600, with a lock on it, and there: a sweep may have come between making and locking it."""
    while True:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _write(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]
