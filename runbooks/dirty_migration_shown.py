"""What people are shown of a dirty migration: the file with marks, what differs, the SQL that would run, evidence."""

from collections.abc import Iterable

from runbooks.dirty_migration_facts import Evidence, Facts, Trial
from runbooks.exhibit import Exhibit
from runbooks.migrations.catalog import Difference, agree, changed
from runbooks.migrations.fitting import Hypothesis, Word
from runbooks.migrations.statements import Kind, Statement

MOST_ROWS = 40
"""Differences that are shown; more are counted."""

LONGEST_CELL = 160


def exhibits(facts: Facts, *, repair: bool = True) -> tuple[Exhibit, ...]:
    """All that there is to show, the most telling first; with the SQL of the `repair`, if that is to run."""
    trial = facts.trial
    if trial is None:
        return _digests(facts) if facts.rows and len(facts.rows) == 1 and facts.row.dirty else ()
    verdict = trial.verdict
    files = tuple(fit.hypothesis for fit in verdict.fits) or trial.hypotheses
    shown = tuple(_listing(one, trial) for one in files)
    sql = trial.rehearsal.sql if trial.rehearsal else ()
    back = (Exhibit("The SQL that takes it back", "\n".join(f"{one};" for one in sql)),) if sql and repair else ()
    return (
        *shown,
        *_table("What the file has left", _left(trial), "before the file"),
        *back,
        *_evidence(trial.evidence),
        *_table("Drift: differs, was not touched, and decides nothing", verdict.drift, "by the files"),
    )


def _digests(facts: Facts) -> tuple[Exhibit, ...]:
    rows = tuple((file.name, file.digest) for file in facts.deciding)
    return (Exhibit("The files that decide", header=("file", "SHA-256"), rows=rows),) if rows else ()


def _listing(hypothesis: Hypothesis, trial: Trial) -> Exhibit:
    """The file, each line marked by what is known of its statement."""
    script = hypothesis.script
    marks = {number: _mark(one, hypothesis, trial) for one in script.statements for number in _lines(one)}
    width = max((len(mark) for mark in marks.values()), default=0)
    lines = script.file.text.splitlines()
    text = "\n".join(f"{marks.get(number, ''):<{width}} {number:>4} | {line}" for number, line in enumerate(lines, 1))
    return Exhibit(f"{script.file.name}: {_caption(hypothesis, trial)}", text)


def _lines(statement: Statement) -> range:
    return range(statement.line, statement.last_line + 1)


def _caption(hypothesis: Hypothesis, trial: Trial) -> str:
    fit = next((one for one in trial.verdict.fits if one.hypothesis is hypothesis), None)
    if fit is None or trial.verdict.word in (Word.MIXED, Word.CANNOT_REPLAY):
        return "how far it came is not known"
    if fit.unproved:
        return f"it came as far as statement {fit.at}, or {fit.last}"
    if fit.word is Word.PARTLY_APPLIED:
        return f"statement {fit.at} of {fit.end} was the last that ran"
    return {Word.ROLLED_BACK: "nothing of it is left", Word.COMPLETED: "all of it ran"}.get(fit.word, "no difference")


def _mark(statement: Statement, hypothesis: Hypothesis, trial: Trial) -> str:
    fit = next((one for one in trial.verdict.fits if one.hypothesis is hypothesis), None)
    if fit is None:
        return _effect(statement, hypothesis, trial)
    if statement.number <= fit.at:
        return "ran"
    if statement.number <= fit.last and not fit.unproved and statement.kind not in (Kind.CONTROL, Kind.SETTING):
        return "either"
    return "ran?" if statement.number in fit.unproved else "not"


def _effect(statement: Statement, hypothesis: Hypothesis, trial: Trial) -> str:
    """Where no state fits: whether the database has what this very statement makes."""
    states = {boundary.after: boundary.catalog for boundary in hypothesis.steps}
    if not {statement.number - 1, statement.number} <= states.keys():
        return ""
    before, after = states[statement.number - 1], states[statement.number]
    keys = changed(before, after) & trial.verdict.touched
    if not keys:
        return ""
    if agree(trial.live, after, keys):
        return "there"
    return "not" if agree(trial.live, before, keys) else "odd"


def _left(trial: Trial) -> tuple[Difference, ...]:
    fit = trial.verdict.fit or next(iter(trial.verdict.fits), None)
    before = fit.hypothesis.before if fit else trial.hypotheses[0].before
    keys = sorted(key for key in trial.verdict.touched if before.get(key) != trial.live.get(key))
    return tuple(Difference(key, before.get(key), trial.live.get(key)) for key in keys)


def _table(title: str, found: Iterable[Difference], expected: str) -> tuple[Exhibit, ...]:
    rows = [(str(one.key), _cell(one.expected), _cell(one.found)) for one in found]
    if not rows:
        return ()
    more = len(rows) - MOST_ROWS
    shown = [*rows[:MOST_ROWS], *([(f"and {more} more", "", "")] if more > 0 else [])]
    return (Exhibit(title, header=("what", expected, "in the database"), rows=tuple(shown)),)


def _cell(text: str | None) -> str:
    if text is None:
        return "missing"
    line = " ".join(text.split())
    return "there" if not line else line if len(line) <= LONGEST_CELL else line[: LONGEST_CELL - 1] + "…"


def _evidence(found: Iterable[Evidence]) -> tuple[Exhibit, ...]:
    would = {True: "rows match", False: "nothing to change", None: "not known"}
    rows = tuple((f"{one.direction} {one.statement}", would[one.would_touch], one.seen) for one in found)
    header = ("statement", "run again, it would find", "rows written since the mark (decides nothing)")
    return (Exhibit("Statements that change rows", header=header, rows=rows),) if rows else ()
