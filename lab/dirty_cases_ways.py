"""How cases are put together: the usual ways of breaking a migration, and the usual cures."""

from typing import Any

from lab.dirty_cases_bed import Act, Broken

FAILS = "ALTER TABLE nodes ADD CONSTRAINT nodes_small CHECK (tier <> 'archive');"
WHY = "nodes_small.* is violated by some row"


def up_fails(name: str, up: str, because: str, down: str | None = None, **mode: Any) -> Act:
    """The usual thing: a version is deployed, and its *up* fails. `mode` is how `./migrate` is run."""

    def breaks(broken: Broken) -> None:
        broken.mode = dict(mode)
        broken.write(name, up, down)
        broken.fails(because)

    return breaks


def rewritten(name: str, up: str | None = None, down: str | None = None, **mode: Any) -> Act:
    """The usual cure: the file is corrected. `mode` is how `./migrate` is run from now on, where that changes."""

    def cure(broken: Broken) -> None:
        broken.mode.update(mode)
        broken.write(name, up, down)

    return cure


def by_hand(statements: str, *, superuser: bool = False) -> Act:
    """A cure in the database itself."""

    def cure(broken: Broken) -> None:
        broken.sql(statements, superuser=superuser)

    return cure


def committed(*statements: str, name: str = "041_zones") -> Act:
    """A file that commits `statements` and then fails."""
    inside = "\n".join(statements)
    return up_fails(name, f"BEGIN;\n{inside}\nCOMMIT;\nBEGIN;\n{FAILS}\nCOMMIT;\n", WHY)


def one_by_one(*statements: str, name: str = "041_zones") -> Act:
    """A file whose `statements` are sent one by one before one fails."""
    return up_fails(name, "\n".join((*statements, FAILS)) + "\n", WHY, multi_statement=True)


def then(before: Act, statements: str) -> Act:
    """What somebody does afterwards in the database."""

    def breaks(broken: Broken) -> None:
        before(broken)
        broken.sql(statements)

    return breaks
