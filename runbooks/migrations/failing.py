"""Files that fail on scratch by themselves: what that says of the database, and what it does not."""

import re
from collections.abc import Iterable

from runbooks.migrations.catalog import Key, changed
from runbooks.migrations.fitting import Fit, Hypothesis
from runbooks.migrations.readings import Failure, Reading
from runbooks.migrations.statements import Kind

OWNERSHIP = frozenset({"owner", "privileges"})
"""Who owns what is made, and who may use it, depends on who migrates: it counts only where a file itself sets it."""

_EVERYWHERE = frozenset({"25001", "2BP01", "55P04", "0A000", "22P02", "22007", "22008"})
"""What must run alone; what others depend on; a new enum value used too early; what is not supported; a literal that is
none of its type: on scratch there are no rows that could have brought it (PostgreSQL's appendix A, error codes)."""

_OF_THE_SERVER = re.compile(r"^(role|user|extension|language|tablespace|database|server|replication|access method)\b")
"""How messages begin that are about what a scratch server may lack or have, whatever is in the catalog."""


def depends_on_catalog_alone(failure: Failure, *, alike: bool = True) -> bool:
    """Whether the error comes again wherever the catalog is the same, whatever is in the tables.

    Class 42 is syntax and names (not 42501: privileges). Where scratch is not `alike` in all that it should share with
    the database (an extension that could not be had), nobody can say so of names.
    """
    if not alike or _OF_THE_SERVER.match(failure.message):
        return failure.sqlstate == "42601"
    return (failure.sqlstate.startswith("42") and failure.sqlstate != "42501") or failure.sqlstate in _EVERYWHERE


def unknown_beyond(one: Fit, *, alike: bool = True) -> str:
    """Why the database may be further than `one` says: the file stops on scratch for want of rows, where the database
    may have had them, and what it did in that last transaction would not surely show at the end.
    """
    hypothesis = one.hypothesis
    for reading in hypothesis.readings:
        failure, last = reading.failure, reading.boundaries[-1]
        if failure is None or depends_on_catalog_alone(failure, alike=alike) or one.last < last.after:
            continue
        if not _would_show(hypothesis, reading, failure):
            where = f"{failure.statement} ({failure.sqlstate}: {failure.message})"
            return f"{hypothesis} fails on an empty database at statement {where}, and nothing before that would show"
    return ""


def _would_show(hypothesis: Hypothesis, reading: Reading, failure: Failure) -> bool:
    """Whether an object that the last transaction made or changed is surely still so at the end of the file: no later
    statement names it, or is a block or a query, which may do anything.
    """
    last = reading.boundaries[-1]
    later = [statement for statement in hypothesis.script.statements if statement.number > failure.statement]
    if any(statement.kind in (Kind.BLOCK, Kind.QUERY) for statement in later):
        return False
    names = frozenset[str]().union(*(statement.names for statement in later))
    begun = (step.catalog for step in hypothesis.steps if step.after > last.after)
    keys = frozenset[Key]().union(*(changed(last.catalog, state) for state in begun))
    return any(not {last_part(key.name), last_part(key.on)} & names for key in keys)


def never_reached(hypotheses: Iterable[Hypothesis]) -> tuple[frozenset[str], frozenset[str]]:
    """What the statements name that did not run on scratch because the file fails before: of that nobody knows what it
    would have done, so any difference on it may be theirs. And the kinds of which that cannot be.
    """
    beyond = [
        statement
        for hypothesis in hypotheses
        for reading in hypothesis.readings
        if reading.failure
        for statement in hypothesis.script.statements
        if statement.number >= reading.failure.statement
    ]
    names = frozenset[str]().union(*(statement.names for statement in beyond))
    return names, frozenset() if any(statement.sets_owner for statement in beyond) else OWNERSHIP


def last_part(name: str) -> str:
    """The name without its schema, arguments and quotes: `app."Nodes"` is `Nodes`, `app.f(integer)` is `f`."""
    parts = re.findall(r'"((?:[^"]|"")*)"|([^."]+)', name.partition("(")[0])
    quoted, plain = parts[-1] if parts else ("", name)
    return quoted.replace('""', '"') or plain
