"""Where in one migration file a database can have stopped, as far as its catalog tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runbooks.migrations.catalog import Catalog, Key, agree, changed
from runbooks.migrations.files import Direction
from runbooks.migrations.readings import Boundary, Reading
from runbooks.migrations.statements import Kind, Script

Probes = Mapping[tuple[Direction, int], bool | None]
"""Of a statement: whether running it again would touch a row (True), would not (False, proved), or that nobody knows
(None, or absent)."""


MODES = {True: "in multi-statement mode", False: "as one query"}


class Word(StrEnum):
    """What judging can say. Each is a finding of the runbook, too."""

    ROLLED_BACK = "rolled-back"
    COMPLETED = "completed"
    PARTLY_APPLIED = "partly-applied"
    INVALID_INDEX = "invalid-index"
    EITHER_WAY = "either-way"
    MIXED = "mixed"
    CANNOT_TELL = "cannot-tell"
    DIRECTION_NEEDED = "direction-needed"
    CANNOT_REPLAY = "cannot-replay"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One file that may have failed, and what to force then: `undone` if it left nothing, `done` if it came to its end.

    `readings` are one, or two where nobody knows whether multi-statement mode was on. `steps` are the states after each
    statement, inside transactions, too: they explain, and show what the file touches on its way.
    """

    direction: Direction
    version: int
    readings: tuple[Reading, ...]
    undone: int
    done: int
    steps: tuple[Boundary, ...] = ()

    @property
    def script(self) -> Script:
        """The file, taken apart."""
        return self.readings[0].script

    @property
    def before(self) -> Catalog:
        """The state before the file."""
        return self.readings[0].before

    @property
    def after(self) -> Catalog:
        """The state after the whole file, as far as it came."""
        return self.readings[0].boundaries[-1].catalog

    @property
    def states(self) -> tuple[Catalog, ...]:
        """Every state that was seen."""
        seen = [boundary for reading in self.readings for boundary in reading.boundaries]
        return tuple(boundary.catalog for boundary in (*seen, *self.steps))

    def __str__(self) -> str:
        return f"the {self.direction} of {self.version} ({self.script.file.name})"


@dataclass(frozen=True, slots=True)
class Fit:
    """Where in one file a database can have stopped: after `at` statements, or anywhere up to `last`.

    `unproved` are the statements in between of which nobody has proved that running them again changes nothing.
    """

    hypothesis: Hypothesis
    at: int
    last: int
    unproved: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """The number of statements of the file; what the grammar rejects counts as one that cannot run."""
        script = self.hypothesis.script
        return len(script.statements) or int(bool(script.unparsable))

    @property
    def word(self) -> Word:
        """What it means."""
        if next_effect(self.hypothesis.script, self.at) == next_effect(self.hypothesis.script, 0):
            return Word.EITHER_WAY if self.last == self.end else Word.ROLLED_BACK
        return Word.COMPLETED if self.last == self.end else Word.PARTLY_APPLIED

    @property
    def target(self) -> int:
        """The version to force in the end."""
        return self.hypothesis.done if self.last == self.end else self.hypothesis.undone


def stopped(fit: Fit) -> str:
    """How far the file came, in words that follow its name."""
    match fit.word:
        case Word.ROLLED_BACK:
            again = [number for number in range(fit.at + 1, fit.last + 1) if _is_no_frame(fit, number)]
            if again:
                numbers = ", ".join(map(str, again))
                return f"left no object behind; running its first statements ({numbers}) again changes nothing"
            return "left nothing behind"
        case Word.COMPLETED:
            return "came to its end"
        case Word.EITHER_WAY:
            return "changes nothing here, whether it ran or not"
        case _:
            return f"stopped after statement {fit.at} of {fit.end}"


def _is_no_frame(fit: Fit, number: int) -> bool:
    return fit.hypothesis.script.statements[number - 1].kind not in (Kind.CONTROL, Kind.SETTING)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of statements beyond the catalog; see `Case`."""

    probes: Probes
    settled: frozenset[tuple[Direction, int]] = frozenset()


def fit(hypothesis: Hypothesis, live: Catalog, touched: frozenset[Key], known: Known) -> Fit | str | None:
    """Where the file can have stopped; None if nowhere; why that cannot be said if its two readings disagree."""
    fits = [_fit_one(hypothesis, reading, live, touched, known) for reading in hypothesis.readings]
    meanings = {(one.word, one.at if one.word is Word.PARTLY_APPLIED else 0) if one else None for one in fits}
    if open_ones := [one for one in fits if one and one.unproved]:
        return open_ones[0]
    if len(meanings) > 1:
        said = " but ".join(
            f"{stopped(one) if one else 'fits nowhere'} {_how(reading)}"
            for one, reading in zip(fits, hypothesis.readings, strict=True)
        )
        return f"{hypothesis} {said}, and it is not known which was used"
    return fits[0]


def _how(reading: Reading) -> str:
    return MODES[reading.multi] + (", with the settings that earlier files leave," if reading.carried else "")


def next_effect(script: Script, after: int) -> int:
    """`after`, moved past statements that only begin or end transactions or set something."""
    while after < len(script.statements) and script.statements[after].kind in (Kind.CONTROL, Kind.SETTING):
        after += 1
    return after


def _fit_one(
    hypothesis: Hypothesis, reading: Reading, live: Catalog, touched: frozenset[Key], known: Known
) -> Fit | None:
    hits = [one.after for one in reading.boundaries if agree(live, one.catalog, touched)]
    if not hits:
        return None
    first, last = min(hits), next_effect(reading.script, max(hits))
    unproved = [number for number in range(first + 1, last + 1) if not _changes_nothing(hypothesis, number, known)]
    if last == len(reading.script.statements):
        # somebody may have made the objects by hand, which is why the file failed: then its rows were never written
        unproved = [number for number in range(1, first + 1) if not _is_done(hypothesis, number, known)] + unproved
    return Fit(hypothesis, first, last, tuple(unproved))


def _is_done(hypothesis: Hypothesis, number: int, known: Known) -> bool:
    """Whether what the statement does beside objects is done: nothing of it is left to do, or its rows are there."""
    if hypothesis.script.statements[number - 1].kind not in (Kind.DML, Kind.QUERY, Kind.BLOCK):
        return True
    place = (hypothesis.direction, number)
    return known.probes.get(place) is False or place in known.settled


def _changes_nothing(hypothesis: Hypothesis, number: int, known: Known) -> bool:
    """Whether it is proved that running the statement, once more or at all, changes nothing here."""
    probe = known.probes.get((hypothesis.direction, number))
    statement = hypothesis.script.statements[number - 1]
    match statement.kind:
        case Kind.CONTROL | Kind.SETTING:
            return True
        case Kind.DML:
            return probe is False
        case Kind.DDL:  # an object may be as before, and what was in it gone: then it is not guarded
            return statement.guarded and _leaves_objects(hypothesis, number)
        case _:  # a query or a block of which it is sure that it writes no row, and that no row makes it fail
            return probe is False and statement.guarded and _leaves_objects(hypothesis, number)


def _leaves_objects(hypothesis: Hypothesis, number: int) -> bool:
    """Whether by itself it changed no object on scratch."""
    states = {boundary.after: boundary.catalog for boundary in hypothesis.steps}
    return {number - 1, number} <= states.keys() and not changed(states[number - 1], states[number])
