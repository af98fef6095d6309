"""Every message says what a person needs, fits its medium, and is taken by it, whatever the outcome holds."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from channels_cases import FAILED, OUTCOMES, outcome
from hypothesis import example, given, settings
from slack_sdk.models.blocks import Block

from channels import email, slack, telegram, webhook
from channels.credentials import Credentials
from channels.lines import fit, units
from channels.wording import Message, parts, plain
from lab import platform_rules as rules
from runbooks.report import Ending, Line, Outcome, StepState

MAIL_CREDENTIALS = Credentials.of(
    {
        "incident_email_api_url": "https://api.resend.com/emails",
        "incident_email_api_key": "re_key_key_key",
        "incident_email_from": "Runbooks <runbooks@hoodcloud.test>",
        "incident_email_to": "oncall@hoodcloud.test, second@hoodcloud.test,",
    }
)


def _slack_text(message: Message) -> str:
    return "\n".join(block["text"]["text"] for block in slack.render(message)["blocks"])


def _telegram_text(message: Message) -> str:
    seen, fault = rules.telegram_text(telegram.render(message))
    assert not fault
    return seen


VOICES: dict[str, Callable[[Message], str]] = {
    "slack": lambda message: html.unescape(_slack_text(message)),
    "telegram": _telegram_text,
    "email, text": plain,
    "email, html": lambda message: html.unescape(re.sub(r"<[^>]+>", "", email.render(message))),
}

NEEDED = (
    FAILED.title,
    FAILED.summary,
    FAILED.finding,
    "applied: unseal vault-1 with kept shares — active",
    "applied: unseal vault-2 with kept shares — standby",
    "begun: unseal vault-3 with kept shares",
    FAILED.safe,
    FAILED.next,
    FAILED.lines[0].undo,
    FAILED.lines[1].undo,
    "step 3 cannot be taken back",
    "alice in Slack",
    "with cluster=hoodcloud",
    "alert VaultSealed",
    "bob, carol",
    FAILED.digest,
    FAILED.page,
    FAILED.head,
    "open the run",
    "9f1c2d3e",
    "credentials from cache, 3 h old",
)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("needed", NEEDED)
def test_a_person_finds_it(voice: str, needed: str) -> None:
    assert needed in VOICES[voice](Message("1", FAILED, 1, "credentials from cache, 3 h old"))


@pytest.mark.parametrize("link", [FAILED.origin.link])
def test_the_run_is_one_tap_away(link: str) -> None:
    message = Message("1", FAILED)
    assert f"<{link}|open the run>" in _slack_text(message)
    assert f'href="{link}"' in telegram.render(message)
    assert f'href="{link}"' in email.render(message)
    assert link in plain(message)


def test_a_machine_finds_everything() -> None:
    event = webhook.render(Message("the-id", FAILED))
    assert (event["type"], event["timestamp"]) == ("runbook.outcome", "2026-11-24T06:00:00+00:00")
    data = event["data"]
    assert (data.pop("id"), data.pop("title")) == ("the-id", FAILED.title)
    assert Outcome.read(data) == FAILED


def test_only_channels_that_cannot_drop_repeats_tell_of_attempts() -> None:
    first, third = Message("1", FAILED), Message("1", FAILED, attempt=3)
    assert "attempt" not in _slack_text(first) + telegram.render(first)
    assert "(attempt 3)" in slack.render(third)["text"]
    assert "(attempt 3)" in _slack_text(third)
    assert "(attempt 3)" in telegram.render(third)
    assert email.Mail.of(first, MAIL_CREDENTIALS) == email.Mail.of(third, MAIL_CREDENTIALS)
    assert webhook.render(first) == webhook.render(third)


def test_before_anything_is_done_the_approver_reads_what_could_not_be_undone() -> None:
    lines = (Line("a", StepState.NOT_BEGUN, "", "do b"), Line("c", StepState.NOT_BEGUN))
    said = plain(Message("1", outcome(ending=Ending.AWAITS_APPROVAL, lines=lines)))
    assert "step 1: do b" in said
    assert "step 2 cannot be taken back" in said


def test_after_a_failure_only_what_was_done_is_to_be_undone_and_the_last_thing_first() -> None:
    lines = (*FAILED.lines[:2], Line("unseal vault-3", StepState.NOT_BEGUN, "", "take back the third"))
    said = plain(Message("1", outcome(lines=lines)))
    assert "take back the third" not in said
    assert said.index("10.0.0.2") < said.index("10.0.0.1")


def test_a_long_list_is_cut_in_a_chat_and_whole_in_a_mail() -> None:
    lines = tuple(Line(f"move part {number} of the stream", StepState.APPLIED, "x" * 90) for number in range(50))
    message = Message("1", outcome(lines=lines))
    for voice in ("slack", "telegram"):
        said = VOICES[voice](message)
        shown = len(re.findall("move part", said))
        assert 1 <= shown < 50
        assert f"… and {50 - shown} more" in said
    assert plain(message).count("move part") == 50


def test_of_a_long_list_the_step_that_was_begun_is_never_cut() -> None:
    states = (*[StepState.APPLIED] * 30, StepState.BEGUN, *[StepState.NOT_BEGUN] * 19)
    lines = tuple(Line(f"move part {number} of the stream", state, "x" * 90) for number, state in enumerate(states))
    for voice in VOICES.values():
        said = voice(Message("1", outcome(lines=lines)))
        assert "31. begun: move part 30" in said
        assert "Steps (30 of 50 applied)" in said


def test_a_command_is_whole_or_not_there() -> None:
    long = "rm -rf " + "/very/long/path" * 60
    lines = (Line("a", StepState.APPLIED, "", f"by `{long}`"), Line("b", StepState.APPLIED, "", "short one"))
    message = Message("1", outcome(lines=lines))
    for voice in ("slack", "telegram"):
        assert "rm -rf" not in VOICES[voice](message)
        assert "too long for a chat" in VOICES[voice](message)
        assert "short one" in VOICES[voice](message)
    assert long in plain(message)


def test_the_first_line_fits_a_lock_screen_of_38_characters() -> None:
    assert len(Message("1", outcome(runbook="unseal-vault", target="hoodcloud")).headline) <= 38


@pytest.mark.parametrize("evil", ["<!channel>", "<@U123>", "<https://evil.test|click>"])
def test_nobody_is_rung_and_nothing_leads_elsewhere(evil: str) -> None:
    said = _slack_text(Message("1", outcome(summary=evil, next=evil)))
    assert "<" not in _OUR_LINK.sub("", said)
    assert evil in html.unescape(said)


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://ui.test/r/1", True),
        ("javascript:alert(1)", False),
        ("http://x y", False),
        ("http://x|y>", False),
        ("", False),
    ],
)
def test_only_a_web_address_is_a_link(link: str, shown: bool) -> None:
    said = telegram.render(Message("1", outcome(origin=replace(FAILED.origin, link=link))))
    assert ("<a href=" in said) is shown


def test_directions_of_writing_cannot_turn_a_command_around() -> None:
    said = plain(Message("1", outcome(next="run \u202egnp.exe\u202c now", summary="שלום")))
    assert "run gnp.exe now" in said
    assert "שלום" in said


@pytest.mark.parametrize("most", [1, 7, 40])
@pytest.mark.parametrize("text", ["&&&&&&&&&&", "a<b>c&d" * 20, "👍" * 50, "short"])
def test_what_is_cut_fits_when_escaped_and_no_entity_breaks(text: str, most: int) -> None:
    cut = fit(text, most, slack.escape)
    assert units(slack.escape(cut)) <= most
    assert cut == text or text.startswith(cut.removesuffix("…"))


def _mail(message: Message) -> dict[str, Any]:
    return email.shaped("https://api.resend.com/emails", email.Mail.of(message, MAIL_CREDENTIALS), "re_key_key_key")[1]


_OUR_LINK = re.compile(r"<https?://[^<>|]+\|open the run>")


@settings(max_examples=60, deadline=None)
@given(OUTCOMES)
@example(outcome(lines=tuple(Line("&<>" * 99, StepState.BEGUN, "&" * 999, "<" * 229) for _ in range(50))))
@example(outcome(summary="", finding="", safe="", next="", page="", digest="", runbook="", target=""))
def test_whatever_happened_every_platform_takes_the_message(told: Outcome) -> None:
    message = Message("id-1", told, attempt=2, notice="credentials from cache, 3 h old")
    blocks = slack.render(message)
    assert rules.slack(blocks) is None
    for block in Block.parse_all(blocks["blocks"]):
        block.validate_json()
    escaped = [block["text"]["text"] for block in blocks["blocks"] if block["text"]["type"] == "mrkdwn"]
    assert not re.search(r"&(?!amp;|lt;|gt;)|[<>]", _OUR_LINK.sub("", "\n".join([blocks["text"], *escaped])))
    assert rules.slack({"text": slack.escape(fit(plain(message), slack.MOST_TEXT, slack.escape))}) is None
    assert rules.telegram({"text": telegram.render(message), "parse_mode": "HTML"}) is None
    assert rules.telegram({"text": fit(plain(message), telegram.MOST_UNITS)}) is None
    assert rules.resend({"authorization": "Bearer re_key_key_key"}, _mail(message), "re_key_key_key") is None
    event = webhook.render(message)
    assert len(f"{event}".encode()) < 1_000_000


def test_what_was_found_and_how_it_ended_are_told_apart() -> None:
    done = replace(
        FAILED, ending=Ending.DONE, found="sealed: 3 of 3 sealed", finding="sealed", summary="usable: vault-3 is active"
    )
    labels = {part.label: str(part.rows[0]) for part in parts(Message("1", done))}
    assert labels["Found"] == "sealed: 3 of 3 sealed"
    assert labels["Now"] == "usable: vault-3 is active"
    same = replace(done, ending=Ending.AWAITS_APPROVAL, summary=done.found)
    labels = {part.label: str(part.rows[0]) for part in parts(Message("1", same))}
    assert labels["Found"] == "sealed: 3 of 3 sealed"
    assert "Now" not in labels


def test_a_plan_can_be_approved_by_a_tap_and_nothing_else_offers_that() -> None:
    form = (
        "http://127.0.0.1:4200/v2/deployments/deployment/1/run?parameters=%7B%22approve%22%3A%20%22cfa6b2a45270%22%7D"
    )
    asked = replace(FAILED, ending=Ending.AWAITS_APPROVAL, form=form)
    for voice in ("slack", "telegram"):
        assert "open the form, press Submit" in VOICES[voice](Message("1", asked))
    assert form in plain(Message("1", asked))
    for other in (replace(asked, ending=Ending.DONE), replace(asked, form=""), replace(asked, form="javascript:x")):
        assert "press Submit" not in plain(Message("1", other))
