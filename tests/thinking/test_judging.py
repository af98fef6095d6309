"""Which state a dirty database is in: every word that judging can say, and the laws that no word may break."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.migrations.catalog import Catalog, Key
from runbooks.migrations.files import Direction, MigrationFile
from runbooks.migrations.fitting import Hypothesis, Word
from runbooks.migrations.judging import Case, Verdict, judge
from runbooks.migrations.readings import Boundary, Failure, Reading
from runbooks.migrations.statements import Kind, Script, Statement

UP, DOWN = Direction.UP, Direction.DOWN
EMPTY: Catalog = {}


def key(name: str, kind: str = "table") -> Key:
    return Key(kind, "", name)


def having(*names: str, **changes: str) -> Catalog:
    """A catalog of tables."""
    return {
        **{key(f"app.{name}"): "" for name in names},
        **{key(f"app.{name}"): text for name, text in changes.items()},
    }


def statement(number: int, kind: Kind = Kind.DDL, **more: object) -> Statement:
    return Statement(number, kind, f"statement {number}", number, number, 0, 0, **more)  # type: ignore[arg-type]


def script(*kinds: Kind, version: int = 41, direction: Direction = UP, **more: object) -> Script:
    file = MigrationFile(version, direction, f"{version:03}_x.{direction}.sql", "-- the text")
    return Script(file, tuple(statement(number, kind, **more) for number, kind in enumerate(kinds, 1)), ())


@dataclass(frozen=True)
class File:
    """A file by the states at its boundaries: how many statements had run, and what was there."""

    at: Mapping[int, Catalog]
    kinds: tuple[Kind, ...]
    failure: Failure | None = None
    disagrees: str = ""
    open_at_end: bool = False
    steps: Mapping[int, Catalog] = field(default_factory=dict)
    multi: Mapping[int, Catalog] | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    rejected: str = ""

    def hypothesis(self, direction: Direction, version: int, undone: int, done: int) -> Hypothesis:
        text = replace(script(*self.kinds, version=version, direction=direction, **self.more), unparsable=self.rejected)

        def reading(at: Mapping[int, Catalog], *, multi: bool) -> Reading:
            boundaries = tuple(Boundary(*one) for one in sorted(at.items()))
            return Reading(text, multi, boundaries, self.failure, self.disagrees, self.open_at_end)

        both = (reading(self.at, multi=False), *((reading(self.multi, multi=True),) if self.multi else ()))
        steps = tuple(Boundary(*one) for one in sorted(self.steps.items()))
        return Hypothesis(direction, version, both, undone, done, steps)


def case(live: Catalog, up: File | None = None, down: File | None = None, **more: object) -> Case:
    """Dirty at 41: its up failed (then 40 is below), or the down of 42."""
    found = [up.hypothesis(UP, 41, 40, 41)] if up else []
    found += [down.hypothesis(DOWN, 42, 42, 41)] if down else []
    return Case(live, tuple(found), **more)  # type: ignore[arg-type]


A, B, C = having("a"), having("a", "b"), having("a", "b", "c")
ATOMIC = File({0: A, 2: C}, (Kind.DDL, Kind.DDL))
SPLIT = File({0: A, 1: B, 2: C}, (Kind.DDL, Kind.DDL))
ROWS = File({0: A, 1: A}, (Kind.DML,))
ROWS_AFTER = File({0: A, 1: B, 2: B}, (Kind.DDL, Kind.DML))
DROPS_D = File({0: having("a", "d"), 1: A}, (Kind.DDL,))
SAME_NAME = File({0: A, 1: A}, (Kind.DDL,), steps={0: A, 1: A}, more={"guarded": True})
CONCURRENT = File({0: A, 1: {**A, Key("index", "app.a", "app.a_i"): "on a"}}, (Kind.DDL,), more={"index": "a_i"})
HALF_BUILT = {
    **A,
    Key("index", "app.a", "app.a_i"): "on a",
    Key("index invalid", "app.a", "app.a_i"): "not ready",
}
TYPO = Failure(2, "42704", 'type "txet" does not exist')
NO_DATA = Failure(2, "23503", "a row is missing")
NO_ROLE = Failure(2, "42704", 'role "reader" does not exist')
NAMED = {"names": frozenset({"b"})}

WITH_ROWS = File({0: A, 2: B}, (Kind.DDL, Kind.DML))
LATER = {"names": frozenset({"b"})}

# A newcomer adds a case here: what is there, the word, and the version to force in the end.
CASES: dict[str, tuple[Case, Word, int | None]] = {
    "nothing of an atomic file": (case(A, ATOMIC), Word.ROLLED_BACK, 40),
    "all of an atomic file": (case(C, ATOMIC), Word.COMPLETED, 41),
    "half of an atomic file: a person was there": (case(B, ATOMIC), Word.MIXED, None),
    "half of a split file": (case(B, SPLIT), Word.PARTLY_APPLIED, 40),
    "the last half of a split file": (case(having("a", "c"), SPLIT), Word.MIXED, None),
    "an object that no state has": (case(having("a", b="other"), SPLIT), Word.MIXED, None),
    "drift elsewhere": (case(having("a", "hotfix"), ATOMIC), Word.ROLLED_BACK, 40),
    "a failed CREATE INDEX CONCURRENTLY": (case(HALF_BUILT, CONCURRENT), Word.INVALID_INDEX, 40),
    "an invalid index that the file does not build": (
        case(HALF_BUILT, replace(CONCURRENT, more={})),
        Word.MIXED,
        None,
    ),
    "rows only": (case(A, ROWS), Word.CANNOT_TELL, None),
    "rows only, which rows would match": (case(A, ROWS, probes={(UP, 1): True}), Word.CANNOT_TELL, None),
    "rows only, which nothing matches any more": (case(A, ROWS, probes={(UP, 1): False}), Word.EITHER_WAY, 41),
    "rows after a table": (case(B, ROWS_AFTER), Word.CANNOT_TELL, None),
    "rows after a table, nothing left to do": (case(B, ROWS_AFTER, probes={(UP, 2): False}), Word.COMPLETED, 41),
    "before rows after a table": (case(A, ROWS_AFTER), Word.ROLLED_BACK, 40),
    "IF NOT EXISTS, seen to change nothing": (case(A, SAME_NAME), Word.EITHER_WAY, 41),
    "a definition without effect, not looked at closely": (
        case(A, replace(SAME_NAME, steps={})),
        Word.CANNOT_TELL,
        None,
    ),
    "a definition that changes what is in an object, and not the object": (
        case(A, replace(SAME_NAME, more={})),
        Word.CANNOT_TELL,
        None,
    ),
    "a block that only looks, and that rows can stop": (
        case(A, replace(SAME_NAME, kinds=(Kind.BLOCK,), more={}), probes={(UP, 1): False}),
        Word.CANNOT_TELL,
        None,
    ),
    "a block that only looks, and cannot fail": (
        case(A, replace(SAME_NAME, kinds=(Kind.BLOCK,)), probes={(UP, 1): False}),
        Word.EITHER_WAY,
        41,
    ),
    "dropped and made again: the rows are gone": (
        case(A, replace(SAME_NAME, kinds=(Kind.DDL,) * 2, at={0: A, 2: A}, steps={0: A, 1: EMPTY, 2: A})),
        Word.CANNOT_TELL,
        None,
    ),
    "a block without effect on objects": (case(A, replace(ROWS, kinds=(Kind.BLOCK,))), Word.CANNOT_TELL, None),
    "a query without effect on objects": (case(A, replace(ROWS, kinds=(Kind.QUERY,))), Word.CANNOT_TELL, None),
    "all objects are there, and of its rows nobody knows: somebody may have made the objects by hand": (
        case(B, WITH_ROWS),
        Word.CANNOT_TELL,
        None,
    ),
    "… and its rows would be written again": (case(B, WITH_ROWS, probes={(UP, 2): True}), Word.CANNOT_TELL, None),
    "… and nothing is left to write": (case(B, WITH_ROWS, probes={(UP, 2): False}), Word.COMPLETED, 41),
    "… and the table that the file made has rows": (
        case(B, WITH_ROWS, settled=frozenset({(UP, 2)})),
        Word.COMPLETED,
        41,
    ),
    "none of its objects is there, so its rows are not either": (case(A, WITH_ROWS), Word.ROLLED_BACK, 40),
    "it fails for want of rows, and a later statement may undo what would show": (
        case(A, File({0: A}, (Kind.DDL, Kind.DML, Kind.DDL), failure=NO_DATA, steps={0: A, 1: B}, more=LATER)),
        Word.CANNOT_TELL,
        None,
    ),
    "it fails for want of rows, and a block comes later": (
        case(A, File({0: A}, (Kind.DDL, Kind.DML, Kind.BLOCK), failure=NO_DATA, steps={0: A, 1: B})),
        Word.CANNOT_TELL,
        None,
    ),
    "a name is missing on scratch, which lacks an extension": (
        case(A, File({0: A}, (Kind.DML,) * 2, failure=TYPO, steps={0: A, 1: A}), alike=False),
        Word.CANNOT_TELL,
        None,
    ),
    "a role is missing on scratch": (
        case(A, File({0: A}, (Kind.DML,) * 2, failure=NO_ROLE, steps={0: A, 1: A})),
        Word.CANNOT_TELL,
        None,
    ),
    "an index of the same name in another schema is invalid": (
        case({**A, Key("index", "b.a", "b.a_i"): "on a", Key("index invalid", "b.a", "b.a_i"): "invalid"}, CONCURRENT),
        Word.ROLLED_BACK,
        40,
    ),
    "an empty file": (case(A, File({0: A}, ())), Word.EITHER_WAY, 41),
    "settings and nothing else": (case(A, File({0: A, 1: A}, (Kind.SETTING,))), Word.EITHER_WAY, 41),
    "a typo stops it, nothing is left": (
        case(A, File({0: A}, (Kind.DDL,) * 2, failure=TYPO, steps={0: A, 1: B})),
        Word.ROLLED_BACK,
        40,
    ),
    "a typo stops it, yet what came before is there": (
        case(B, File({0: A}, (Kind.DDL,) * 2, failure=TYPO, steps={0: A, 1: B})),
        Word.MIXED,
        None,
    ),
    "it fails on scratch for want of rows, and nothing would show how far it came": (
        case(A, File({0: A}, (Kind.DML, Kind.DDL), failure=NO_DATA, steps={0: A, 1: A})),
        Word.CANNOT_TELL,
        None,
    ),
    "it fails on scratch for want of rows, after something that would show": (
        case(A, File({0: A}, (Kind.DDL, Kind.DML), failure=NO_DATA, steps={0: A, 1: B})),
        Word.ROLLED_BACK,
        40,
    ),
    "… and that is there": (
        case(B, File({0: A}, (Kind.DDL, Kind.DML), failure=NO_DATA, steps={0: A, 1: B})),
        Word.MIXED,
        None,
    ),
    "stopped before the part that fails on scratch": (
        case(A, File({0: A, 1: B}, (Kind.DDL, Kind.DML), failure=NO_DATA, steps={0: A, 1: B})),
        Word.ROLLED_BACK,
        40,
    ),
    "as one query it ends otherwise": (case(A, replace(ATOMIC, disagrees="table app.b")), Word.CANNOT_REPLAY, None),
    "it leaves a transaction open, which nobody committed": (
        case(A, File({0: A}, (Kind.CONTROL, Kind.DDL), open_at_end=True, steps={0: A, 1: A, 2: B})),
        Word.ROLLED_BACK,
        40,
    ),
    "PostgreSQL's grammar rejects it": (
        case(A, File({0: A}, (), failure=Failure(0, "42601", "syntax error"), rejected="syntax error")),
        Word.ROLLED_BACK,
        40,
    ),
    "one query or pieces, both say the same": (case(A, replace(ATOMIC, multi=SPLIT.at)), Word.ROLLED_BACK, 40),
    "one query or pieces, only pieces fit": (case(B, replace(ATOMIC, multi=SPLIT.at)), Word.CANNOT_TELL, None),
    "the down of the next left nothing": (case(having("a", "d"), ATOMIC, DROPS_D), Word.ROLLED_BACK, 42),
    "the down of the next came to its end": (
        case(C, ATOMIC, File({0: {**C, **having("d")}, 1: C}, (Kind.DDL,))),
        Word.COMPLETED,
        41,
    ),
    "the down of the next was rolled back": (
        case({**C, **having("d")}, ATOMIC, File({0: {**C, **having("d")}, 1: C}, (Kind.DDL,))),
        Word.ROLLED_BACK,
        42,
    ),
    "half of the down of the next": (
        case(
            having("a", "b", "c", "e"),
            ATOMIC,
            File({0: {**C, **having("d", "e")}, 1: {**C, **having("e")}, 2: C}, (Kind.DDL,) * 2),
        ),
        Word.PARTLY_APPLIED,
        42,
    ),
    "one is sure, of the other nobody can tell": (
        case(C, ATOMIC, File({0: C, 1: C}, (Kind.DML,))),
        Word.DIRECTION_NEEDED,
        None,
    ),
    "… and the hint names the other": (
        case(C, ATOMIC, File({0: C, 1: C}, (Kind.DML,)), hint=DOWN),
        Word.CANNOT_TELL,
        None,
    ),
    "both fit, the hint decides for up": (
        case(C, ATOMIC, File({0: C, 1: C}, (Kind.DML,)), hint=UP),
        Word.COMPLETED,
        41,
    ),
    "the next changes no object, both are sure": (
        case(C, ATOMIC, File({0: C}, (Kind.DDL,), failure=Failure(1, "42601", "syntax error"), steps={0: C})),
        Word.DIRECTION_NEEDED,
        None,
    ),
    "… and the hint says down": (
        case(C, ATOMIC, File({0: C}, (Kind.DDL,), failure=Failure(1, "42601", "x"), steps={0: C}), hint=DOWN),
        Word.ROLLED_BACK,
        42,
    ),
    "a hint that fits nothing": (case(A, ATOMIC, hint=DOWN), Word.MIXED, None),
    "the down could not be replayed": (
        case(C, ATOMIC, missing=((DOWN, "the down of 42 cannot be replayed"),)),
        Word.CANNOT_REPLAY,
        None,
    ),
    "… which the hint makes unimportant": (
        case(C, ATOMIC, missing=((DOWN, "the down of 42 cannot be replayed"),), hint=UP),
        Word.COMPLETED,
        41,
    ),
    "the file names what is not as the files made it": (
        case({}, File({0: having("b"), 1: having("b", "x")}, (Kind.DDL,), more=NAMED)),
        Word.MIXED,
        None,
    ),
    "a part that scratch never reaches was run by hand": (
        case(
            {**A, Key("table option", "app.a", "fillfactor"): "70"},
            File({0: A}, (Kind.DDL,) * 3, failure=TYPO, steps={0: A, 1: B}, more={"names": frozenset({"a"})}),
        ),
        Word.MIXED,
        None,
    ),
    "… an owner is not, where no part sets one": (
        case(
            {**A, Key("owner", "TABLE", "app.a"): "somebody"},
            File({0: A}, (Kind.DDL,) * 3, failure=TYPO, steps={0: A, 1: B}, more={"names": frozenset({"a"})}),
        ),
        Word.ROLLED_BACK,
        40,
    ),
    "made by hand in the middle, while the next has a down": (
        case(having("a", "c"), SPLIT, File({0: {**C, **having("d")}, 1: C}, (Kind.DDL,))),
        Word.MIXED,
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_its_word(name: str) -> None:
    asked, word, target = CASES[name]
    verdict = judge(asked)
    assert verdict.word is word, verdict.why
    assert (verdict.fit.target if verdict.fit else None) == target
    assert verdict.why.isprintable()


def test_owners_count_only_where_the_file_sets_them() -> None:
    owner = Key("owner", "TABLE", "app.b")
    file = File({0: A, 1: {**B, owner: "scratch"}}, (Kind.DDL,))
    live = {**B, owner: "migrator"}
    assert judge(case(live, file)).word is Word.COMPLETED
    assert not judge(case(live, file)).drift, "nor is it drift"
    assert judge(case(live, replace(file, more={"sets_owner": True}))).word is Word.MIXED


def test_a_closer_look_is_asked_for_where_it_can_help() -> None:
    assert judge(case(A, replace(SAME_NAME, steps={}))).look_closer
    assert judge(case(B, ATOMIC)).look_closer, "to say which statements are there"
    assert not judge(case(A, ATOMIC)).look_closer
    unseen = case(A, File({0: A}, (Kind.DDL,) * 2, failure=TYPO))
    assert judge(unseen).look_closer, "what it did before it failed is not known to be absent"


# -- laws -----------------------------------------------------------------------------------------------------------

NAMES = [f"app.t{number}" for number in range(6)]
catalogs = st.dictionaries(st.sampled_from([key(name) for name in NAMES]), st.sampled_from(["", "x", "y"]), max_size=5)
kinds = st.sampled_from([Kind.DDL, Kind.DDL, Kind.DML, Kind.BLOCK, Kind.CONTROL])


@st.composite
def files(draw: st.DrawFn) -> File:
    """A file of random statements, of which only definitions change the catalog, with boundaries at random places."""
    states, chosen = [draw(catalogs)], draw(st.lists(kinds, min_size=1, max_size=5))
    for kind in chosen:
        states.append(draw(catalogs) if kind is Kind.DDL else states[-1])
    inner = draw(st.sets(st.sampled_from(range(len(states))))) | {0, len(chosen)}
    return File({at: states[at] for at in inner}, tuple(chosen), steps=dict(enumerate(states)))


def wrongly_sure(verdict: Verdict, truth: Sequence[int]) -> bool:
    """Whether a place is named that is not among those where it may have stopped, by the catalog alone."""
    return verdict.fit is not None and not any(verdict.fit.at <= at <= verdict.fit.last for at in truth)


@given(files(), st.data())
def test_where_it_stopped_is_found_or_not_said(file: File, data: st.DataObject) -> None:
    stopped = data.draw(st.sampled_from(sorted(file.at)))
    verdict = judge(case(file.at[stopped], file))
    assert verdict.word is not Word.MIXED, "a state of the file is no mixture"
    if verdict.fit is None:
        return
    skipped = {stopped}  # what only controls transactions is no step of its own
    while stopped < len(file.kinds) and file.kinds[stopped] is Kind.CONTROL:
        stopped += 1
        skipped.add(stopped)
    assert not wrongly_sure(verdict, sorted(skipped))


@given(files(), files(), st.data())
def test_drift_that_no_file_touches_changes_no_word(up: File, down: File, data: st.DataObject) -> None:
    live = data.draw(st.one_of(catalogs, st.sampled_from([*up.at.values(), *down.at.values()])))
    asked = case(live, up, down)
    drifted = replace(asked, live={**live, key("app.elsewhere"): "by hand"})
    assert judge(drifted).word is judge(asked).word


@given(files(), files(), st.data())
def test_what_no_state_has_is_never_called_anything_but_mixed(up: File, down: File, data: st.DataObject) -> None:
    asked = case(data.draw(st.sampled_from([*up.at.values(), *down.at.values()])), up, down)
    touched = sorted(judge(asked).touched)
    if touched:
        odd = {**asked.live, data.draw(st.sampled_from(touched)): "odd"}
        assert judge(replace(asked, live=odd)).fit is None


@given(files(), files(), st.sampled_from([UP, DOWN]), st.data())
def test_a_hint_never_makes_another_file_true(up: File, down: File, hint: Direction, data: st.DataObject) -> None:
    live = data.draw(st.sampled_from([*up.at.values(), *down.at.values()]))
    verdict = judge(case(live, up, down, hint=hint))
    assert verdict.fit is None or verdict.fit.hypothesis.direction is hint
