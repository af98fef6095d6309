"""The plan and the outcome of a run as Markdown, for its page in Prefect."""

import re
from collections.abc import Iterable

from runbooks.catalogue import EVERY_RUN, INSTALLATION
from runbooks.consent import Policy
from runbooks.errors import RunbookError
from runbooks.exhibit import Exhibit
from runbooks.plan import PlanSheet
from runbooks.report import Outcome, StepState

MARKS = {StepState.APPLIED: "done", StepState.BEGUN: "**begun**", StepState.NOT_BEGUN: "not begun"}

_CODE = re.compile(r"(`[^`|]+`|[^\s(`|]*://[^\s)`|]*[^\s)`|;,.:])")
"""In a sentence of ours: a command in backticks, or an address with what is glued to it."""


def plan_text(sheet: PlanSheet, policy: Policy, form: str = "", deployment: str = "") -> str:
    """A plan. `form` is the address of the run form with the digest filled in, `deployment` that of the runbook's page
    in Prefect; both are empty where there is none.
    """
    steps = "\n".join(
        f"{number}. {_plain(step)}" + ("" if undo else " (**cannot be undone**)")
        for number, (step, undo) in enumerate(zip(sheet.steps, sheet.undo, strict=True), 1)
    )
    return f"""# Plan {sheet.digest} for {_plain(sheet.target)}

{_plain(sheet.found)}

## What would be done

{steps}

Nothing has been changed yet.

## Approve

{_approve(sheet, policy.of(sheet), form)}

To veto it: `runbook refuse {sheet.digest}`

If what the plan rests on has changed by then, nothing is done, and the difference is shown.

{_undo(sheet.undo)}

{exhibits_text(sheet.exhibits)}

## What it rests on

{chr(10).join(f"- {_plain(fact)}" for fact in sheet.basis)}
- code {_plain(sheet.code)}

{_explained(f"#{sheet.finding}", deployment) if deployment else ""}
"""


def outcome_text(outcome: Outcome, deployment: str = "", exhibits: Iterable[Exhibit] = ()) -> str:
    """An ending, with evidence. `deployment` is the address of the runbook's page in Prefect; empty without one."""
    rows = "\n".join(
        f"| {number} | {_plain(line.step)} | {MARKS[line.state]} | {_plain(line.note)} |"
        for number, line in enumerate(outcome.lines, 1)
    )
    table = f"| | step | | seen |\n| --- | --- | --- | --- |\n{rows}\n" if rows else ""
    undo = (line.undo for line in outcome.lines if line.state is not StepState.NOT_BEGUN)
    who = (
        f"asked by {_plain(str(outcome.origin))}",
        f"because: {_plain(outcome.origin.reason)}" if outcome.origin.reason else "",
        f"agreed by {', '.join(map(_plain, outcome.agreed))}" if outcome.agreed else "",
        f"plan {outcome.digest}" if outcome.digest else "",
    )
    return f"""# {_plain(outcome.title)}

{_plain(outcome.summary)}

{table}
**Safe to stop here?** {_plain(outcome.safe)}

**Next:** {_plain(outcome.next)}

**Who:** {"; ".join(filter(None, who))}

{_undo(undo)}

{exhibits_text(exhibits)}

{_explained(outcome.page, deployment)}
"""


def stop_text(error: RunbookError, page: str) -> str:
    """A mistake in what was asked for, or a target that somebody else holds."""
    return f"""# Stopped

{_plain(error.message)}

**Next:** {_plain(error.hint)}

What *{error.reference}* means: `{page}`
"""


def exhibits_text(exhibits: Iterable[Exhibit]) -> str:
    """Evidence: each with its heading, a table or a block of text."""
    return "\n\n".join(f"## {_plain(one.title)}\n\n{_block(one.text)}{_table(one)}" for one in exhibits)


def _block(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)  # a text with such a fence in it must not end its own block
    return f"{fence}sql\n{text}\n{fence}\n" if text else ""


def _table(exhibit: Exhibit) -> str:
    if not exhibit.header:
        return ""
    rows = (exhibit.header, tuple("---" for _ in exhibit.header), *exhibit.rows)
    return "\n".join(f"| {' | '.join(cell if cell == '---' else _plain(cell) for cell in row)} |" for row in rows)


def _approve(sheet: PlanSheet, policy: Policy, form: str) -> str:
    """How to agree: by the link alone where a digest that somebody typed counts, else by the command first."""
    command, minutes = f"`runbook approve {sheet.digest}`", policy.valid_s // 60
    if policy.typed_digest_counts and form:
        link = f"**[Approve and carry out {sheet.digest}]({form})**: the form has the digest filled in, press *Submit*."
        return f"{link}\n\nOr on the command line: {command}. One approval is enough, within {minutes} minutes."
    people = "one approval" if policy.approvals == 1 else f"approvals of {policy.approvals} different people"
    then = f" Then **[carry out {sheet.digest}]({form})**: press *Submit*." if form else ""
    return f"It needs {people}, within {minutes} minutes: {command}.{then}"


def _undo(ways: Iterable[str]) -> str:
    known = "\n".join(dict.fromkeys(f"- {_plain(way)}" for way in ways if way))
    return f"## To undo it by hand\n\n{known}" if known else ""


def _explained(page: str, deployment: str) -> str:
    """Where the word behind the # of `page` is explained. A deployment's description is its runbook's page."""
    word = _plain(page.partition("#")[2])
    if deployment and not page.startswith((EVERY_RUN, INSTALLATION)):
        return f"What *{word}* means: [the runbook's page]({deployment}?tab=Description)"
    return f"What *{word}* means: `{page}`"


def _plain(text: str) -> str:
    """What others wrote, made harmless for Markdown. Commands and addresses become code: no link is made of them."""
    pieces = _CODE.split(" ".join(text.split()))
    return "".join(f"`{piece.strip('`')}`" if number % 2 else _escaped(piece) for number, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~&" else char for char in text)
