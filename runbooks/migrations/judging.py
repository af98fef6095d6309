"""Which state a dirty database is in: never, partly or fully migrated, by the *up* of its version or the *down* of the
next.

golang-migrate marks a database dirty at *k* before it runs the up of *k*, and also before it runs the down of the
version after *k*. So both are weighed, on the **union** of the objects that either touches, and neither wins because
the other does not fit. Everything else that differs is drift: it is shown and decides nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from runbooks.migrations.catalog import Catalog, Difference, Key, changed, differences
from runbooks.migrations.failing import OWNERSHIP, last_part, never_reached, unknown_beyond
from runbooks.migrations.files import Direction
from runbooks.migrations.fitting import Fit, Hypothesis, Known, Probes, Word, fit, stopped
from runbooks.migrations.statements import Kind

MOST_NUMBERS = 8
"""How many statements a sentence names."""

OBJECTS = frozenset(
    {
        "schema", "extension", "table", "view", "materialized view", "sequence", "index", "constraint", "trigger",
        "function", "aggregate", "enum", "domain", "range", "composite type", "policy", "rule", "column",
    }
)  # fmt: skip
"""Kinds that a file makes by name; the others are properties of one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the database is, and why. `fit` is where it stopped, if that is known; `invalid` the indexes that a failed
    CREATE INDEX CONCURRENTLY left; `drift` what differs and was not touched; `touched` what decides.

    `look_closer`: with the states after each statement (`Hypothesis.steps`) more could be said.
    """

    word: Word
    why: str
    touched: frozenset[Key]
    drift: tuple[Difference, ...] = ()
    fit: Fit | None = None
    fits: tuple[Fit, ...] = ()
    invalid: tuple[Key, ...] = ()
    look_closer: bool = False

    @property
    def unproved(self) -> tuple[tuple[Direction, int], ...]:
        """The statements of which it must be known whether running them again would change a row."""
        return tuple((fit.hypothesis.direction, number) for fit in self.fits for number in fit.unproved)


@dataclass(frozen=True, slots=True)
class Case:
    """All that is judged. `hint` is the direction that a person or a log names. `settled` are statements that have put
    rows into tables which the file itself made: there are some. `alike` means that scratch has all that it should share
    with the database. `missing` says of a direction why its
    file, which may have been the one that failed, could not be replayed.
    """

    live: Catalog
    hypotheses: tuple[Hypothesis, ...]
    hint: Direction | None = None
    probes: Probes = field(default_factory=dict)
    settled: frozenset[tuple[Direction, int]] = frozenset()
    alike: bool = True
    missing: tuple[tuple[Direction, str], ...] = ()

    @property
    def weighed(self) -> tuple[Hypothesis, ...]:
        """The hypotheses that can be true, after the hint."""
        return tuple(one for one in self.hypotheses if self.hint in (None, one.direction))


def judge(case: Case) -> Verdict:
    """Total: every case has exactly one verdict; what does not fit exactly is never called clean."""
    assert case.hypotheses, "a dirty version has at least one file that can have failed"
    before, invalid = case.hypotheses[0].before, _left_invalid(case)
    live, on_the_way = _without(case.live, invalid), _on_the_way(case.hypotheses)
    on_the_way |= _properties(on_the_way, live)
    drift = differences(before, live, changed(before, live) - on_the_way)
    touched = _decisive(case.hypotheses, on_the_way)
    seen = Verdict(Word.MIXED, "", touched, drift, invalid=invalid, look_closer=_failed_unseen(case))
    if broken := _cannot_replay(case):
        return replace(seen, word=Word.CANNOT_REPLAY, why=broken)
    if named := _named(case.hypotheses, drift):
        names = ", ".join(str(key) for key in named[:3])
        return replace(seen, why=f"{names} is named by the file and is not as the files below it made it")
    return _weigh(case, seen, [fit(one, live, touched, Known(case.probes, case.settled)) for one in case.weighed])


def _weigh(case: Case, seen: Verdict, found: "list[Fit | str | None]") -> Verdict:
    if torn := [one for one in found if isinstance(one, str)]:
        return replace(seen, word=Word.CANNOT_TELL, why=torn[0])
    fits = tuple(one for one in found if isinstance(one, Fit))
    if not fits:
        return replace(seen, why=_nothing_fits(case), look_closer=_steps_missing(case))
    if unproved := [one for one in fits if one.unproved]:
        closer = seen.look_closer or _definitions_between(unproved)
        open_ = replace(seen, word=Word.CANNOT_TELL, why=_between(unproved[0]), fits=fits, look_closer=closer)
        if len(unproved) == len(fits):
            return open_
        sure = next(one for one in fits if not one.unproved)  # knowing the direction may settle it
        return replace(open_, word=Word.DIRECTION_NEEDED, why=f"{sure.hypothesis} {stopped(sure)}, or {open_.why}")
    if len({(one.target, one.at if one.word is Word.PARTLY_APPLIED else None) for one in fits}) > 1:
        both = " and ".join(f"{one.hypothesis} {stopped(one)}" for one in fits)
        return replace(seen, word=Word.DIRECTION_NEEDED, why=f"both would look like this: {both}", fits=fits)
    if unknown := next(filter(None, (unknown_beyond(one, alike=case.alike) for one in fits)), ""):
        return replace(seen, word=Word.CANNOT_TELL, why=unknown, fits=fits)
    only, word = fits[0], fits[0].word
    if seen.invalid and word in (Word.ROLLED_BACK, Word.EITHER_WAY):
        only, word = replace(only, last=only.at), Word.INVALID_INDEX  # what the index stands for has not been done
    return replace(seen, word=word, why=f"{only.hypothesis} {stopped(only)}", fit=only, fits=fits)


def _on_the_way(hypotheses: tuple[Hypothesis, ...]) -> frozenset[Key]:
    """Every key that any of the files changes, if only for a moment."""
    before = hypotheses[0].before
    return frozenset[Key]().union(*(changed(before, state) for one in hypotheses for state in one.states))


def _properties(keys: frozenset[Key], live: Catalog) -> frozenset[Key]:
    """What the database says of the very objects in `keys`: an index that is there but invalid is not done."""
    objects = {(key.on, key.name) for key in keys}
    return frozenset(key for key in live if (key.on, key.name) in objects)


def _decisive(hypotheses: tuple[Hypothesis, ...], keys: frozenset[Key]) -> frozenset[Key]:
    own = any(statement.sets_owner for one in hypotheses for statement in one.script.statements)
    return keys if own else frozenset(key for key in keys if key.kind not in OWNERSHIP)


def _left_invalid(case: Case) -> tuple[Key, ...]:
    built = {statement.index for one in case.hypotheses for statement in one.script.statements if statement.index}
    made = frozenset[Key]().union(*(state for one in case.hypotheses for state in one.states))
    indexes = (Key("index", key.on, key.name) for key in case.live if key.kind == "index invalid")
    return tuple(
        sorted(
            index
            for index in indexes
            # of that very table: another schema may have an index of the same name
            if last_part(index.name) in built and index in made and index not in case.hypotheses[0].before
        )
    )


def _without(live: Catalog, indexes: tuple[Key, ...]) -> Catalog:
    names = {key.name for key in indexes}
    return {key: text for key, text in live.items() if key.name not in names} if names else live


def _named(hypotheses: Sequence[Hypothesis], drift: tuple[Difference, ...]) -> tuple[Key, ...]:
    """What the files name, yet do not touch, and is not as it should be: then these are not the files that ran."""
    names = frozenset[str]()
    for hypothesis in hypotheses:
        script = hypothesis.script
        words = re.findall(r"\w+", script.file.text.lower()) if script.unparsable else ()
        names |= frozenset(words).union(*(statement.names for statement in script.statements))
    unseen, kinds = never_reached(hypotheses)
    return tuple(
        one.key
        for one in drift
        if (one.key.kind in OBJECTS and last_part(one.key.name) in names)
        or (one.key.kind not in kinds and {last_part(one.key.name), last_part(one.key.on)} & unseen)
    )


def _cannot_replay(case: Case) -> str:
    for direction, why in case.missing:
        if case.hint in (None, direction):
            return why
    for hypothesis in case.weighed:
        for reading in hypothesis.readings:
            if reading.disagrees:
                return f"{hypothesis} as one query ends otherwise than statement by statement: {reading.disagrees}"
    return ""


def _failed_unseen(case: Case) -> bool:
    """Whether a file fails by itself, and what it did before that, inside its transaction, was not looked at."""
    return any(
        not one.steps and one.script.statements and not all(reading.completed for reading in one.readings)
        for one in case.hypotheses
    )


def _steps_missing(case: Case) -> bool:
    return any(not one.steps and one.script.statements for one in case.hypotheses)


def _definitions_between(unproved: Iterable[Fit]) -> bool:
    numbered = ((one.hypothesis.script.statements[number - 1], one) for one in unproved for number in one.unproved)
    return any(statement.kind is not Kind.DML and not one.hypothesis.steps for statement, one in numbered)


def _between(one: Fit) -> str:
    more = len(one.unproved) - MOST_NUMBERS
    numbers = ", ".join(map(str, one.unproved[:MOST_NUMBERS])) + (f" and {more} more" if more > 0 else "")
    many = f"statements {numbers}" if len(one.unproved) > 1 else f"statement {numbers}"
    return f"{many} of {one.hypothesis} may have run or not: no object tells, and running it twice may do harm"


def _nothing_fits(case: Case) -> str:
    weighed = " or ".join(map(str, case.weighed)) or f"a file of the direction {case.hint}"
    return f"no state that {weighed} passes through looks like this"
