"""The Markdown of a run's page: what others wrote stays text, and the way to agree fits the policy."""

import pytest

from runbooks.consent import Door, Origin, Policy
from runbooks.exhibit import Exhibit
from runbooks.plan import PlanSheet
from runbooks.report import Ending, Line, Outcome, StepState
from tasks.page_text import exhibits_text, outcome_text, plan_text

SAID = {
    "an address is no link": ("give vault-1 (https://10.0.0.1:8200) one", "give vault-1 (`https://10.0.0.1:8200`) one"),
    "an address ends before a comma": ("see https://a.test, then b", "see `https://a.test`, then b"),
    "an option keeps its address": ("bao seal -address=https://a.test now", "bao seal `-address=https://a.test` now"),
    "a command stays a command": (
        "clear it with `bao operator unseal -reset`",
        "clear it with `bao operator unseal -reset`",
    ),
    "a lone backtick is text": ("it`s", r"it\`s"),
    "a link is text": ("[press me](javascript:alert)", r"\[press me\](javascript:alert)"),
    "a picture is text": ("![](//a.test/b)", r"!\[\](//a.test/b)"),
    "a cell has no border": ("a | b `c | d`", r"a \| b \`c \| d\`"),
    "html is text": ("<img src=x>", r"\<img src=x\>"),
    "an entity is text": ("&lt;b&gt;", r"\&lt;b\&gt;"),
    "a second line is no heading": ("one\n# two\n---", r"one \# two ---"),
}


@pytest.mark.parametrize(("said", "shown"), SAID.values(), ids=SAID)
def test_what_others_wrote_stays_text(said: str, shown: str) -> None:
    origin = Origin("1f" * 16, Door.PREFECT_UI, reason=said)
    outcome = Outcome(
        "unseal-vault", "vault/hoodcloud", Ending.DONE, "sealed", said, (Line(said, StepState.APPLIED, said, said),),
        said, said, "runbooks/sealed_vault.md#sealed", "0123456789ab", (said,), origin, 0.0,
    )  # fmt: skip
    text = outcome_text(outcome)
    assert f"\n\n{shown}\n\n" in text, "the summary"
    assert f"| 1 | {shown} | done | {shown} |\n" in text
    assert f"**Safe to stop here?** {shown}\n" in text
    assert f"because: {shown}; agreed by {shown};" in text
    assert f"\n- {shown}\n" in text


ALONE = Policy(approvals=1, requester_may_approve=True, typed_digest_counts=True)
WAYS = {
    "the link alone is enough": (ALONE, "**[Approve and carry out 0123456789ab](FORM)**", "One approval is enough"),
    "votes come first": (
        Policy(approvals=2),
        "Then **[carry out 0123456789ab](FORM)**",
        "approvals of 2 different people",
    ),
}


@pytest.mark.parametrize(("policy", "link", "people"), WAYS.values(), ids=WAYS)
def test_the_way_to_agree_fits_the_policy(policy: Policy, link: str, people: str) -> None:
    sheet = PlanSheet(
        "r", "vault/x", "sealed", "all", ("a fact",), ("a", "b"), ("undo a", ""), ("A()", "B()"), "code", "0123456789ab"
    )
    text = plan_text(sheet, policy, "FORM", "PAGE")
    assert link in text and people in text and "within 30 minutes" in text
    assert "1. a\n2. b (**cannot be undone**)\n" in text
    assert text.count("(FORM)") == 1 and "(PAGE?tab=Description)" in text
    without = plan_text(sheet, policy)
    assert "](" not in without and "`runbook approve 0123456789ab`" in without


def test_evidence_cannot_break_out_of_its_block() -> None:
    """A migration file may hold what ends a block of code, and a cell of a table what ends a cell."""
    file = Exhibit("041_x.up.sql", "ran 1 | -- ```` [a link](http://evil)\n")
    table = Exhibit("what differs", header=("what", "found"), rows=(("column `a|b`", "<script>"),))
    text = exhibits_text((file, table))
    assert "`````sql\nran 1" in text and text.count("`````") == 2
    assert "## what differs\n\n| what | found |\n| --- | --- |\n| column `a\\|b`" in text.replace("\\`", "`")
    assert "\\<script\\>" in text
