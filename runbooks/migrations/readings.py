"""What a scratch database went through while one file ran in it, in the file's real transactions."""

from dataclasses import dataclass

from runbooks.migrations.catalog import Catalog
from runbooks.migrations.statements import Script


@dataclass(frozen=True, slots=True)
class Boundary:
    """A moment at which everything that had run was committed: where a failed migration can have stopped.

    The statements 1 to `after` had run by then.
    """

    after: int
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Failure:
    """Where the file stopped by itself on scratch: the number of the statement (0 when that is not known)."""

    statement: int
    sqlstate: str
    message: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One file, run once. `multi` is whether it was cut into pieces as `x-multi-statement` does, or sent as one query.

    `boundaries` begin with the state before the file and go as far as it came. `disagrees` says how the file as one
    query ended otherwise than its statements did; empty when it ended the same, as it must. `open_at_end` means that
    the file left a transaction open. `carried`: with the settings that the files before it leave in one session.
    """

    script: Script
    multi: bool
    boundaries: tuple[Boundary, ...]
    failure: Failure | None = None
    disagrees: str = ""
    open_at_end: bool = False
    carried: bool = False

    @property
    def before(self) -> Catalog:
        """The state before the file."""
        return self.boundaries[0].catalog

    @property
    def completed(self) -> bool:
        """Whether the file came to its end."""
        return self.failure is None and not self.open_at_end
