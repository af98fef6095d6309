"""Migration files as golang-migrate reads them: `NNN_name.up.sql` and `NNN_name.down.sql`."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from runbooks.errors import BadRequest

NOTHING = -1
"""The version before the first, as golang-migrate counts: nothing has been applied."""

_NAME = re.compile(r"([0-9]+)_(.*)\.(down|up)\.(.*)")
"""source.Regex of golang-migrate v4, which takes any extension; whoever can run only SQL must look at it."""

LARGEST_VERSION = 2**63 - 1


class Direction(StrEnum):
    """Which of a version's two files."""

    UP = "up"
    DOWN = "down"

    @property
    def other(self) -> "Direction":
        """The opposite one."""
        return Direction.DOWN if self is Direction.UP else Direction.UP


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One file. `name` is its whole name, as `039_rolling_uptime.up.sql`; `text` what is in it."""

    version: int
    direction: Direction
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of what is in it, as `sha256sum` prints it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_sql(self) -> bool:
        """Whether it is SQL as it stands: neither Go code nor a template that somebody fills in."""
        return self.name.endswith(".sql")


@dataclass(frozen=True, slots=True)
class Version:
    """One version with the files that it has."""

    number: int
    up: MigrationFile | None = None
    down: MigrationFile | None = None

    def file(self, direction: Direction) -> MigrationFile | None:
        """Its file of that direction."""
        return self.up if direction is Direction.UP else self.down


@dataclass(frozen=True, slots=True)
class Migrations:
    """All versions of one database, by number."""

    versions: tuple[Version, ...]

    def __iter__(self) -> Iterator[Version]:
        return iter(self.versions)

    def get(self, number: int) -> Version | None:
        """The version `number`, if a file has it."""
        return next((version for version in self.versions if version.number == number), None)

    def previous(self, number: int) -> int:
        """The version that exists before `number`, else `NOTHING`: not `number - 1`."""
        return max((version.number for version in self.versions if version.number < number), default=NOTHING)

    def next(self, number: int) -> Version | None:
        """The version that exists after `number`."""
        return next((version for version in self.versions if version.number > number), None)

    @property
    def newest(self) -> int:
        """The last version, else `NOTHING`."""
        return self.versions[-1].number if self.versions else NOTHING

    @property
    def gaps(self) -> tuple[int, ...]:
        """Numbers that are missing between versions counted one by one; none where versions are moments in time."""
        numbers = [version.number for version in self.versions]
        if not numbers or numbers[-1] > 10 * len(numbers):
            return ()
        return tuple(sorted(set(range(numbers[0], numbers[-1])) - set(numbers)))

    @property
    def digest(self) -> str:
        """SHA-256 over the names and contents of all files."""
        files = [file for version in self.versions for file in (version.up, version.down) if file]
        return hashlib.sha256("".join(f"{file.digest}  {file.name}\n" for file in files).encode()).hexdigest()


def migrations_of(files: Iterable[tuple[str, bytes]]) -> Migrations:
    """The versions made of `files`, names and contents; names that are no migration's are passed over.

    Raises: BadRequest `migration-twice` (two files of one version and direction), `migration-unreadable` (no UTF-8, or
    a number that no version can be).
    """
    found: dict[tuple[int, Direction], MigrationFile] = {}
    for name, content in sorted(files):
        match = _NAME.fullmatch(name)
        if not match:
            continue
        number, direction = int(match[1]), Direction(match[3])
        if (number, direction) in found:
            raise BadRequest(
                "migration-twice",
                f"{found[number, direction].name} and {name} are both version {number}",
                hint="golang-migrate refuses such a folder, too: remove or renumber one of the two",
            )
        found[number, direction] = _read(number, direction, name, content)
    numbers = sorted({number for number, _ in found})
    return Migrations(
        tuple(
            Version(number, found.get((number, Direction.UP)), found.get((number, Direction.DOWN)))
            for number in numbers
        )
    )


def _read(number: int, direction: Direction, name: str, content: bytes) -> MigrationFile:
    try:
        if number > LARGEST_VERSION:
            raise ValueError(f"{number} does not fit into a bigint")
        return MigrationFile(number, direction, name, content.decode())
    except ValueError as error:  # a UnicodeDecodeError is one
        raise BadRequest(
            "migration-unreadable", f"{name} cannot be read: {error}", hint="mend the file where it comes from"
        ) from None
