"""The files of a migration folder, from a folder, a git revision or S3; and digests of deployed ones."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from runbooks.errors import BadRequest
from store.settings import Settings
from tasks.migrations import git, s3

LARGEST = 10_000_000
"""Bytes that all files together may have."""

MOST = 5000
"""How many files there may be."""

_AT_ONCE, _PAGE = 8, 1000
"""How many objects of S3 are fetched at a time, and how many names."""

Files = tuple[tuple[str, bytes], ...]

_MIGRATION = re.compile(r"[0-9]+_.*\.(down|up)\..*")
"""The names that golang-migrate reads; nothing else is opened."""

_DIGEST = re.compile(r"(?P<escaped>\\)?(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


def files_at(source: str, settings: Settings) -> Files:
    """Names and contents of the migrations at `source`: /folder, git:/repository@revision:folder, s3://bucket/prefix.

    Nothing below that folder is read.

    Raises: BadRequest `migrations-missing` (no such folder, revision or prefix, or no migration in it),
    `migrations-unreachable` (it is there and cannot be read), `migrations-too-large`, `migration-unreadable` (a name);
    Unreachable and Refused, as `tasks.migrations.s3` says.
    """
    if source.startswith("s3://"):
        found = _in_bucket(source, settings)
    elif source.startswith("git:"):
        found = git.files(source, _counted, LARGEST)
    else:
        found = _in_folder(Path(source))
    if not found:
        raise _missing(source, "holds no file with a migration's name, as 001_name.up.sql")
    return tuple(sorted(found))


def deployed_digests(path: Path) -> Mapping[str, str]:
    """SHA-256 by file name (without its folder), from what `sha256sum` printed into `path`.

    Raises: BadRequest `digests-unreadable`.
    """
    try:
        with path.open("rb") as file:
            said = file.read(LARGEST)
        lines = [line for line in said.decode().split("\n") if line.strip()]
    except OSError as error:
        raise _no_digests(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise _no_digests(f"{path} is not UTF-8") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIGEST.fullmatch(line)
        if not match:
            raise _no_digests(f"line {number} of {path} is not a line of sha256sum")
        name = match["name"]
        if match["escaped"]:
            name = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
        name, digest = name.rpartition("/")[2], match["digest"].lower()
        if found.setdefault(name, digest) != digest:
            raise _no_digests(f"{path} has two digests of {name}")
    if not found:
        raise _no_digests(f"{path} is empty")
    return found


def _in_folder(folder: Path) -> Files:
    try:
        with os.scandir(folder) as entries:
            # a migrator passes over folders, too; a link counts as what it leads to
            names = _counted(entry.name for entry in entries if not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(str(folder), "is no folder on this host") from None
    except OSError as error:
        raise _unreadable(f"{folder} cannot be read ({error.strerror})") from None
    found, left = [], LARGEST
    for name in names:
        content = _read(folder / name, left)
        left -= len(content)
        found.append((name, content))
    return tuple(found)


def _read(path: Path, most: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    except OSError as error:
        raise _unreadable(f"{path} cannot be read ({error.strerror})") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _unreadable(f"{path} is not a plain file")
        with open(handle, "rb", closefd=False) as file:  # what is looked at is what is read
            return _within(file, most)
    except OSError as error:
        raise _unreadable(f"{path} cannot be read ({error.strerror})") from None
    finally:
        os.close(handle)


def _in_bucket(source: str, settings: Settings) -> Files:
    bucket, prefix = s3.place(source)
    with s3.reached(settings, source) as client:
        sizes: dict[str, int] = {}
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, Delimiter="/", PaginationConfig={"PageSize": _PAGE}
        )
        for page in pages:
            sizes |= {entry["Key"].removeprefix(prefix): entry["Size"] for entry in page.get("Contents", ())}
            _small_enough(len(sizes) <= 2 * MOST)
        names = _counted(sizes)
        if not names:
            raise _missing(source, "holds no file with a migration's name, as 001_name.up.sql")
        _small_enough(sum(sizes[name] for name in names) <= LARGEST)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            contents = list(pool.map(_fetcher(client, bucket, prefix), names))
    _small_enough(sum(map(len, contents)) <= LARGEST)
    return tuple(zip(names, contents, strict=True))


def _fetcher(client: Any, bucket: str, prefix: str) -> Callable[[str], bytes]:
    def fetch(name: str) -> bytes:
        body = client.get_object(Bucket=bucket, Key=prefix + name)["Body"]
        with body:
            return _within(body, LARGEST)

    return fetch


def _within(file: IO[bytes], most: int) -> bytes:
    """All of a file, if that is not more than `most` bytes; it may be growing."""
    content = file.read(most + 1)
    _small_enough(len(content) <= most)
    return content


def _counted(names: Iterable[str]) -> list[str]:
    """Those that are names of migrations, sorted. Raises: BadRequest, when they are too many, or not in UTF-8."""
    found = sorted(name for name in names if _MIGRATION.fullmatch(name))
    _small_enough(len(found) <= MOST)
    for name in found:
        if not name.isprintable():
            raise BadRequest(
                "migration-unreadable", f"{name!a} is no name in UTF-8", hint="rename the file where it comes from"
            )
    return found


def _small_enough(is_so: bool) -> None:  # reads as a sentence where it is called
    if not is_so:
        raise BadRequest(
            "migrations-too-large",
            f"the migrations are more than {MOST} files or {LARGEST // 1_000_000} MB",
            hint="see that the setting `migrations` names the folder with the migrations and no other",
        )


def _missing(source: str, why: str) -> BadRequest:
    return BadRequest(
        "migrations-missing", f"{source} {why}", hint="correct the setting `migrations`, or deploy the files"
    )


def _unreadable(said: str) -> BadRequest:
    return BadRequest("migrations-unreachable", said, hint="let the user of the runbooks read the migrations")


def _no_digests(said: str) -> BadRequest:
    return BadRequest(
        "digests-unreadable", said, hint="write it anew where the files are deployed: sha256sum migrations/*.sql"
    )
