"""Files out of a git repository: read from its objects, with no checkout, and nothing of it is run."""

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from runbooks.errors import BadRequest

LIMIT_S = 20
"""How long git may take for one answer, seconds."""

_SOURCE = re.compile(r"git:(?P<repository>/[^@]*)@(?P<revision>[^:]+):(?P<folder>.*)")
_LINK, _FILES = "120000", ("100644", "100755", "120000")


def files(source: str, chosen: Callable[[Iterable[str]], list[str]], largest: int) -> tuple[tuple[str, bytes], ...]:
    """Names and contents of the files at `git:/repository@revision:folder` that `chosen` picks of all names there.

    Links are followed inside that revision. `largest`: bytes that all together may have.

    Raises: BadRequest `bad-setting`, `migrations-missing`, `migrations-unreachable`, `migrations-too-large`.
    """
    match = _SOURCE.fullmatch(source)
    if not match or match["revision"].startswith("-"):
        raise BadRequest(
            "bad-setting", f"{source} is not git:/repository@revision:folder", hint="correct the setting `migrations`"
        )
    repository, revision = Path(match["repository"]), match["revision"]
    folder = "/".join(part for part in match["folder"].split("/") if part not in ("", "."))
    commit = _commit(repository, revision)
    listed = _git(repository, "ls-tree", "-z", "-l", "--full-tree", f"{commit}:{folder}")
    if listed.returncode:
        raise _missing(f"{repository} has no folder {folder or '/'} in {revision}")
    sizes: dict[str, int] = {}
    for entry in listed.stdout.split(b"\0")[:-1]:
        about, _, name = entry.partition(b"\t")
        mode, _, _, size = about.decode().split()
        if mode in _FILES:
            sizes[os.fsdecode(name)] = 0 if mode == _LINK else int(size)
    names = chosen(sizes)
    if sum(sizes[name] for name in names) > largest:
        raise _too_large(source, largest)
    contents = _contents(repository, commit, folder, names)
    if sum(map(len, contents)) > largest:
        raise _too_large(source, largest)
    return tuple(zip(names, contents, strict=True))


def _commit(repository: Path, revision: str) -> str:
    if _git(repository, "rev-parse", "--git-dir").returncode:
        raise BadRequest(
            "migrations-unreachable",
            f"{repository} cannot be read as a git repository",
            hint="it must be there, readable for the user of the runbooks, and his, or in git's safe.directory",
        )
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise _missing(f"{repository} has no revision {revision}")
    return found.stdout.decode().strip()


def _contents(repository: Path, commit: str, folder: str, names: list[str]) -> list[bytes]:
    """What is in each of `names`, in order. A migration's name holds no line break: git is asked in lines."""
    below = f"{folder}/" if folder else ""
    asked = "".join(f"{commit}:{below}{name}\n" for name in names)
    said = _git(repository, "cat-file", "--batch", "--follow-symlinks", given=asked.encode())
    found, at = [], 0
    for name in names:
        end = said.stdout.find(b"\n", at)
        words = said.stdout[at:end].split()
        if said.returncode or end < 0 or len(words) != 3 or words[1] != b"blob":
            raise BadRequest(
                "migrations-unreachable",
                f"{name} cannot be read from {repository}",
                hint="a link may lead out of the revision, or to nothing; or an object is missing (git fsck)",
            )
        size = int(words[2])
        found.append(said.stdout[end + 1 : end + 1 + size])
        at = end + size + 2
    return found


def _git(repository: Path, *words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Raises: BadRequest `migrations-unreachable`, when there is no git, or it takes too long."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
    try:
        return subprocess.run(
            ["git", "-C", str(repository), *words],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, **settings},
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadRequest(
            "migrations-unreachable",
            f"git gave no answer about {repository} ({type(error).__name__})",
            hint="see that git is installed, and the repository on a disk that answers",
        ) from None


def _missing(said: str) -> BadRequest:
    return BadRequest("migrations-missing", said, hint="correct the setting `migrations`, or fetch the revision")


def _too_large(source: str, largest: int) -> BadRequest:
    return BadRequest(
        "migrations-too-large",
        f"the migrations at {source} are more than {largest // 1_000_000} MB",
        hint="see that the setting `migrations` names the folder with the migrations and no other",
    )
