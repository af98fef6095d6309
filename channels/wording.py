"""What every message says, and in which order. The channels only dress it.

A person on a phone reads from the top and stops when she knows enough: what happened, is it safe, what next; only then
the steps, the way back, who, and where to read on.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from channels.lines import LONGEST_ROW, Part, Row, clean, units
from runbooks.report import Ending, Line, Outcome, StepState

ICONS = {
    Ending.NOTHING_TO_DO: "💤",
    Ending.AWAITS_APPROVAL: "✋",
    Ending.DONE: "✅",
    Ending.REFUSED: "⛔",
    Ending.FAILED: "❌",
}
LONGEST_FORM = 800
"""The address of a form with more characters than this is left out: it would fill a screen."""

_LONG_LIST = 8
_LINK = re.compile(r"https?://[^\s<>|\"]+")
MARKS = {StepState.APPLIED: "✅", StepState.BEGUN: "⏳", StepState.NOT_BEGUN: "▫️"}


@dataclass(frozen=True, slots=True)
class Message:
    """An outcome on its way. `id` is the same at every attempt; `notice` says how it was sent, if not as usual."""

    id: str
    outcome: Outcome
    attempt: int = 1
    notice: str = ""

    @property
    def title(self) -> str:
        """The outcome's own title, on one clean line."""
        return clean(self.outcome.title)

    @property
    def headline(self) -> str:
        """The title with its icon."""
        return f"{ICONS[self.outcome.ending]} {self.title}"

    @property
    def again(self) -> str:
        """Says that this may be a repeat; for channels that cannot drop repeats themselves."""
        return f"(attempt {self.attempt})" if self.attempt > 1 else ""


def parts(message: Message) -> tuple[Part, ...]:
    """All that the message has to say, uncut. Parts with nothing to say are left out."""
    outcome = message.outcome
    found, now = _found_and_now(outcome)
    steps, applied = _steps(outcome), sum(line.state is StepState.APPLIED for line in outcome.lines)
    count = f"{applied} of {len(steps)} applied" if applied else f"{len(steps)}"
    every = (
        Part("Found", (Row(found or "nothing was said"),), 400 if not now else 250),
        Part("Now", (Row(now),) if now else (), 400),
        Part("Safe to stop?", (Row(clean(outcome.safe) or "not known: look before you do anything"),), 250),
        Part("Next", (Row(clean(outcome.next) or f"read {clean(outcome.page)}"),), 400),
        Part("Approve", _approve(outcome), 60 + units(outcome.form)),
        Part(f"Steps ({count})", steps, 850),
        Part("Undo by hand", _undo(outcome), 600),
        Part("Who", _who(outcome), 330),
        Part("Details", _details(outcome), 480),
        Part("Note", (Row(clean(message.notice)),) if message.notice else (), 100),
    )
    return tuple(part for part in every if part.rows)


def plain(message: Message) -> str:
    """The whole message as text, for e-mail and for a chat that cannot read our markup."""
    said = [f"{part.label}\n" + "\n".join(f"  {row}" for row in part.rows) for part in parts(message)]
    return "\n\n".join([" ".join(filter(None, (message.headline, message.again))), *said])


def _found_and_now(outcome: Outcome) -> tuple[str, str]:
    """What was wrong, and how it ended if that is another thing to say."""
    finding, found, summary = clean(outcome.finding), clean(outcome.found), clean(outcome.summary)
    now = (
        summary if summary.startswith(finding) or outcome.ending is Ending.DONE else f"{finding}: {summary}".strip(": ")
    )
    if not found:
        return now, ""
    return found, "" if now == found else now


def _steps(outcome: Outcome) -> tuple[Row, ...]:
    """Every step with its state: in words too where steps differ, and first, so that no cut loses it.

    In a long list the step that was begun stands first: it is the one to look at, and the end may be cut.
    """
    begun = any(line.state is not StepState.NOT_BEGUN for line in outcome.lines)

    def said(number: int, line: Line) -> str:
        state, note = f"{line.state}: " if begun else "", clean(line.note)
        return f"{MARKS[line.state]} {number}. {state}{clean(line.step)}" + (f" — {note}" if note else "")

    numbered = list(enumerate(outcome.lines, 1))
    if len(numbered) > _LONG_LIST:
        numbered.sort(key=lambda one: one[1].state is not StepState.BEGUN)
    return tuple(Row(said(number, line)) for number, line in numbered)


def _undo(outcome: Outcome) -> tuple[Row, ...]:
    """How to take back what was done, the last thing first; before anything was done, how each step could be."""
    numbered = list(enumerate(outcome.lines, 1))
    done = [(number, line) for number, line in numbered if line.state is not StepState.NOT_BEGUN]
    chosen = reversed(done) if done else numbered if outcome.ending is Ending.AWAITS_APPROVAL else ()
    return tuple(_way_back(number, clean(line.undo)) for number, line in chosen)


def _way_back(number: int, undo: str) -> Row:
    """What is in backticks is a command, to be copied letter by letter."""
    if not undo:
        return Row(f"step {number} cannot be taken back")
    before, _, rest = undo.partition("`")
    command, _, after = rest.partition("`")
    return Row(" ".join(f"step {number}: {before} {after}".split()).rstrip(":"), command)


def _approve(outcome: Outcome) -> tuple[Row, ...]:
    """The way to approve by a tap: the form with the digest filled in. It changes nothing before it is submitted."""
    form = clean(outcome.form)
    good = outcome.ending is Ending.AWAITS_APPROVAL and _LINK.fullmatch(form) and units(form) <= LONGEST_FORM
    return (Row("open the form, press Submit", link=form),) if good else ()


def _who(outcome: Outcome) -> tuple[Row, ...]:
    reason, agreed = clean(outcome.origin.reason), clean(", ".join(outcome.agreed))
    asked = clean(
        ", ".join(f"{name}={value}" for name, value in outcome.origin.parameters if value not in ("", "False"))
    )
    said = (
        f"with {asked}" if asked else "",
        f"because {reason}" if reason else "",
        f"agreed by {agreed}" if agreed else "",
    )
    return tuple(Row(text) for text in (clean(f"asked by {outcome.origin}"), *said) if text)


def _details(outcome: Outcome) -> tuple[Row, ...]:
    link = clean(outcome.origin.link)
    leads = units(link) <= LONGEST_ROW and _LINK.fullmatch(link)
    known = (
        Row("plan", clean(outcome.digest)),
        Row("open the run", link=link if leads else ""),
        Row("run", clean(f"{outcome.origin.name} {outcome.origin.run[:8]}")),
        Row("page", clean(outcome.page)),
        Row("journal", clean(outcome.head)),
    )
    return (*(row for row in known if row.copy or row.link), Row(_moment(outcome.at)))


def _moment(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M UTC}"
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"
