"""Outcomes to tell, ordinary and wild, and how tests put them in line."""

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from runbooks.consent import Door, Origin
from runbooks.report import Ending, Line, Outcome, StepState
from store import outbox
from store.database import Database

CHANNELS = outbox.CHANNELS

FAILED = Outcome(
    runbook="unseal-vault",
    target="hoodcloud",
    ending=Ending.FAILED,
    finding="node-did-not-come-up",
    summary="vault-3 gave no answer for 90 s (2 of 3 steps were carried out)",
    lines=(
        Line(
            "unseal vault-1 with kept shares",
            StepState.APPLIED,
            "active",
            "bao operator seal -address=https://10.0.0.1:8200",
        ),
        Line(
            "unseal vault-2 with kept shares",
            StepState.APPLIED,
            "standby",
            "bao operator seal -address=https://10.0.0.2:8200",
        ),
        Line("unseal vault-3 with kept shares", StepState.BEGUN, "", ""),
    ),
    safe="yes: starting it again looks first and does only what is left",
    next="read the log of vault-3, start it, and run this again",
    page="runbooks/sealed_vault.md#node-did-not-come-up",
    digest="0123456789ab",
    agreed=("bob", "carol"),
    origin=Origin(
        run="9f1c2d3e-77aa",
        door=Door.SLACK,
        person="alice",
        reason="alert VaultSealed",
        name="unseal hoodcloud",
        link="http://127.0.0.1:4200/runs/flow-run/9f1c2d3e-77aa",
        parameters=(("cluster", "hoodcloud"),),
    ),
    at=1_795_500_000.0,
    head="feedc0de1234",
)

_numbers = itertools.count(1)


def outcome(run: str = "", **changes: Any) -> Outcome:
    """An outcome of a run of its own, unless `run` is given."""
    origin = replace(FAILED.origin, run=run or f"run-{next(_numbers)}")
    return replace(FAILED, **{"origin": origin, **changes})


def put_in_line(db: Database, told: Outcome) -> str:
    """The id of `told`, which now waits on every channel."""
    with db.write() as conn:
        found = outbox.enqueue(conn, told, dedup=f"test-{next(_numbers)}")
    assert found
    return found


def statuses(db: Database) -> dict[str, dict[str, int]]:
    """How many letters are in which status, by channel."""
    found: dict[str, dict[str, int]] = {channel: {} for channel in CHANNELS}
    for one in outbox.standing(db):
        found[one.channel][one.status] = one.count
    return found


_WILD = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)
_NASTY = st.sampled_from(
    [
        "",
        "   ",
        "\n",
        "&" * 4000,
        "<b>" * 900,
        "&amp;" * 800,
        "👩‍👩‍👧" * 700,
        "\u202egnp.exe\u202c",
        "שלום עולם",
        "\x00\x07\x1b[31m",
        "\ud800",
        "<!channel> <@U123> <http://evil.test|click>",
        "`rm -rf` *bold* _under_ ~gone~",
        "a" * 5000,
        "\r\nBcc: all@example.test",
        '"><script>alert(1)</script>',
    ]
)
_TEXT = _NASTY | _WILD

_LINES = st.lists(st.builds(Line, step=_TEXT, state=st.sampled_from(StepState), note=_TEXT, undo=_TEXT), max_size=50)

OUTCOMES = st.builds(
    Outcome,
    runbook=_TEXT,
    target=_TEXT,
    ending=st.sampled_from(Ending),
    finding=_TEXT,
    summary=_TEXT,
    found=_TEXT,
    lines=_LINES.map(tuple),
    safe=_TEXT,
    next=_TEXT,
    page=_TEXT,
    digest=_TEXT,
    agreed=st.lists(_TEXT, max_size=5).map(tuple),
    origin=st.builds(
        Origin,
        run=_TEXT,
        door=st.sampled_from(Door),
        person=_TEXT,
        reason=_TEXT,
        name=_TEXT,
        link=_TEXT | st.just("https://ui.test/r/1"),
    ),
    at=st.floats(-1e12, 1e14),
    head=_TEXT,
)
"""Any outcome at all, also such as no runbook should ever make."""
