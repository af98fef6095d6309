"""unseal-vault by Prefect's UI alone, as somebody on call does it: from the run form to an unsealed Vault.

The tests are one story, told in the order of the file; only the last but one changes anything.
"""

import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from lab.browser import Ui
from lab.world import ROOT, World

REASON = "power cut in rack 4, ticket OPS-71"
HELP = {
    "cluster": "Which Vault cluster.",
    "approve": "The 12 digits of a plan that you read: carry out that plan.",
    "reason": "Why you run this, in your words.",
}
APPROVE = re.compile("^Approve and carry out [0-9a-f]{12}$")


@dataclass(frozen=True)
class Seen:
    """What a run that only looked showed; `address` is where its plan is, `link` what leads from there to the form."""

    state: str
    log: str
    plan: str
    address: str
    link: str
    digest: str


@pytest.fixture(scope="module")
def seen(ui: Ui, deployment: str) -> Seen:
    ui.open_deployment(deployment)
    ui.open_form()
    expect(ui.field("approve")).to_have_value("")
    ui.field("reason").fill(REASON)
    ui.submit()
    state, log = ui.ended(), ui.open_log()
    expect(log).to_contain_text("press Submit")
    logged = log.inner_text()
    plan = ui.open_artifact("what would be done")
    link = plan.get_by_role("link", name=APPROVE)
    digest = link.inner_text().split()[-1]
    return Seen(state, logged, plan.inner_text(), ui.page.url, str(link.get_attribute("href")), digest)


def test_the_form_explains_every_field(ui: Ui, deployment: str) -> None:
    ui.open_deployment(deployment)
    ui.open_form()
    for field, words in HELP.items():
        expect(ui.page.get_by_text(words)).to_be_visible()
        expect(ui.field(field)).to_have_value("hoodcloud" if field == "cluster" else "")


def test_the_deployment_shows_the_page_of_the_runbook(ui: Ui, deployment: str) -> None:
    ui.open_deployment(deployment)
    headings = [
        line.strip("# ") for line in (ROOT / "runbooks/sealed_vault.md").read_text().split("\n") if line[:1] == "#"
    ]
    shown = ui.open_tab("Description").get_by_role("heading")
    expect(shown).to_have_text(headings)


def test_a_run_without_a_digest_shows_the_plan_and_changes_nothing(sealed_world: World, seen: Seen) -> None:
    assert seen.state == "Completed"
    for name, address in sealed_world.vault.nodes.items():
        step = f"give {name} ({address}) 3 of the 5 kept shares"
        assert step in seen.log and step in seen.plan
    assert seen.link in seen.log
    assert f"runbook approve {seen.digest}" in seen.plan
    assert set(sealed_world.vault.health().values()) == {503}


def test_the_old_ui_fills_in_its_form_from_the_same_link(ui: Ui, seen: Seen) -> None:
    page = ui.page.context.new_page()
    page.goto(seen.link.replace("/v2/", "/"))
    for number, value in enumerate(("hoodcloud", seen.digest, REASON)):
        expect(page.locator("textarea").nth(number)).to_have_value(value)
    page.close()


def test_a_wrong_digest_is_one_clear_line(sealed_world: World, ui: Ui, deployment: str) -> None:
    ui.open_deployment(deployment)
    ui.open_form()
    ui.field("approve").fill("0123456789ab")
    ui.submit()
    assert ui.ended() == "Failed"
    log = ui.open_log()
    expect(log).to_contain_text("Finished in state Failed")
    line = log.get_by_text(re.compile(r"^no plan 0123456789ab .* \| next: .* \| ref: digest-unknown$"))
    expect(line).to_have_count(1)
    expect(log).not_to_contain_text("Traceback")
    expect(ui.open_tab("Details")).to_contain_text("no plan 0123456789ab")
    assert set(sealed_world.vault.health().values()) == {503}


def test_the_link_in_the_plan_leads_to_an_unsealed_vault(sealed_world: World, ui: Ui, seen: Seen) -> None:
    ui.page.goto(seen.address)
    ui.page.get_by_role("link", name=APPROVE).click()
    expect(ui.field("approve")).to_have_value(seen.digest)
    expect(ui.field("cluster")).to_have_value("hoodcloud")
    expect(ui.field("reason")).to_have_value(REASON)
    ui.submit()
    assert ui.ended() == "Completed"
    outcome = ui.open_artifact("is active, 2 standby")
    expect(outcome.get_by_role("heading", name="unseal-vault on vault/hoodcloud: done")).to_be_visible()
    expect(outcome.get_by_role("row").filter(has_text="unsealed")).to_have_count(3)
    expect(outcome).to_contain_text(REASON)
    assert sorted(sealed_world.vault.health().values()) == [200, 429, 429]


def test_the_message_leads_to_the_outcome(sealed_world: World, ui: Ui) -> None:
    told = sealed_world.receivers.arrived("webhook")[-1]["message"]["data"]
    assert told["ending"] == "done"
    ui.page.goto(told["origin"]["link"])
    expect(ui.page.get_by_role("link").filter(has_text="is active, 2 standby")).to_be_visible()
