"""Prefect's UI as a person uses it, in a real Chromium without a window: the run form, a run's page, its artifacts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
"""The browser, Debian's package `chromium`. No other is ever downloaded."""

PAGE_LIMIT_S = 30
"""Longest wait for a page to show something, seconds: generous, because the machine may be busy."""

RUN_LIMIT_S = 120
"""Longest wait for a run to end, seconds. The worker starts a process for each, and the page looks every 5."""

_OPTIONS = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
_STATES = re.compile(r"^\s*(Completed|Failed|Crashed|Cancelled|Running|Pending|Scheduled|Late)\s*$")
_ENDED = re.compile(r"Completed|Failed|Crashed|Cancelled")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that reaches this machine only. It ends with the block."""
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs user namespaces, which a container seldom has; these pages are ours
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=_OPTIONS,
            chromium_sandbox=False,
            proxy={"server": "http://127.0.0.1:9", "bypass": "127.0.0.1"},
        )
        try:
            yield browser
        finally:
            browser.close()


class Ui:
    """One window on Prefect's UI at `address`.

    What does not show in time raises AssertionError or playwright's TimeoutError.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.root = page, f"{address}/v2"
        page.set_default_timeout(PAGE_LIMIT_S * 1000)
        expect.set_options(timeout=PAGE_LIMIT_S * 1000)

    def open_deployment(self, deployment: str) -> None:
        """The page of a deployment, by its id."""
        self.page.goto(f"{self.root}/deployments/deployment/{deployment}")

    def open_tab(self, name: str) -> Locator:
        """Turn to a tab of the page; returns what it shows."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        return self.page.get_by_role("tabpanel", name=name, exact=True)

    def open_form(self) -> None:
        """From the deployment's page to its run form, as a person goes: Run, Custom run."""
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Custom run").click()
        self.field("reason").wait_for()

    def field(self, name: str) -> Locator:
        """The field of a parameter on the run form."""
        return self.page.get_by_label(re.compile(rf"^\s*{re.escape(name)}( \(Optional\))?\s*$"))

    def submit(self) -> None:
        """Send the form off and go to the page of its run."""
        # several toasts may be up; each says the name that Prefect made up for its run
        name = self.page.get_by_label("Run Name").input_value()
        self.page.get_by_role("button", name="Submit", exact=True).click()
        toast = self.page.locator("[data-sonner-toast]").filter(has_text=name)
        toast.get_by_role("link", name="View run").click()
        # the address changes before the page does, and only the page of a run has this tab
        expect(self.page.get_by_role("tab", name="Job Variables")).to_be_visible()

    def ended(self) -> str:
        """Wait until the page of the run says that it has ended; returns how, in Prefect's word."""
        badge = self.page.get_by_role("main").locator("[data-slot=badge]").filter(has_text=_STATES).first
        expect(badge).to_have_text(_ENDED, timeout=RUN_LIMIT_S * 1000)
        return badge.inner_text().strip()

    def open_log(self) -> Locator:
        """The log of a run that has ended. Loads the page again, because it asks for the log only while the run is seen
        running: after one that took less than 5 seconds it says that there is none (Prefect 3.8.8).
        """
        self.page.reload()
        return self.open_tab("Logs")

    def open_artifact(self, said: str) -> Locator:
        """From the page of a run to its artifact whose card says `said`; returns the artifact."""
        self.open_tab("Artifacts").get_by_role("link").filter(has_text=said).click()
        # the page is drawn anew once it knows the run, and says this last
        expect(self.page.get_by_text("State Message")).to_be_visible()
        return self.page.get_by_role("tabpanel", name="Artifact", exact=True)
