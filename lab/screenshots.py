"""`make screenshots`: docs/pictures, taken while a sealed Vault is brought back by Prefect's UI."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Locator, Page

from lab.browser import CHROMIUM, Ui, chromium
from lab.world import ROOT, World

PICTURES = ROOT / "docs" / "pictures"
MARGIN = 8
MOST_BYTES = (200 * 1024, 1024 * 1024)
"""Largest size of a picture and of all together: they are kept in the repository."""

_EMOJI = "fc-list :charset=2705 family"  # the check mark that a message begins with


def main() -> int:
    """Take all pictures; returns the exit code."""
    if not CHROMIUM.exists():
        print(f"there is no {CHROMIUM}; Debian: apt install chromium", file=sys.stderr)
        return 2
    if not subprocess.run(_EMOJI.split(), capture_output=True, check=False).stdout:
        print("there is no font with emoji, messages will show boxes; Debian: apt install fonts-noto-color-emoji")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, World(Path(folder) / "world") as world:
        world.break_("vault")
        take(browser, world)
    sizes = [file.stat().st_size for file in PICTURES.glob("*.png")]
    print(f"largest {max(sizes) // 1024} KiB, all {sum(sizes) // 1024} KiB")
    return 0 if max(sizes) <= MOST_BYTES[0] and sum(sizes) <= MOST_BYTES[1] else 1


def take(browser: Browser, world: World) -> None:
    """The story in the order in which it is lived, a picture of everything that a person reads."""
    ui = Ui(browser.new_page(viewport={"width": 1280, "height": 1000}), world.prefect.address)
    ui.open_deployment(world.prefect.ask("deployments/name/unseal-vault/unseal-vault")["id"])
    ui.open_form()
    ui.field("reason").fill("power cut in rack 4, ticket OPS-71")
    picture(ui.page, "1-form")
    ui.submit()
    ui.ended()
    log = ui.open_log()
    log.get_by_text("press Submit").wait_for()
    picture(log, "2-plan-in-the-log")
    plan = ui.open_artifact("what would be done")
    link = plan.get_by_role("link", name="Approve and carry out")
    link.wait_for()
    picture(plan, "3-plan")
    phone(browser, world, "4-plan-on-a-phone")
    link.click()
    ui.field("reason").wait_for()
    picture(ui.page, "5-form-filled-in")
    ui.submit()
    ui.ended()
    ui.open_log().get_by_text("is active, 2 standby").wait_for()
    ui.page.set_viewport_size({"width": 1280, "height": 640})
    ui.page.locator("canvas").wait_for()
    ui.page.wait_for_timeout(3000)  # the graph comes in bit by bit, and a canvas does not say when it is whole
    picture(ui.page, "6-done")
    outcome = ui.open_artifact("is active, 2 standby")
    outcome.get_by_role("heading", name="done").wait_for()
    picture(outcome, "7-outcome")
    phone(browser, world, "8-outcome-on-a-phone")


def phone(browser: Browser, world: World, name: str) -> None:
    """What arrived last, at the size of a phone."""
    with browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=1.5) as context:
        page = context.new_page()
        page.goto(world.receivers.address)
        picture(page, name)


def picture(what: Page | Locator, name: str) -> None:
    """One picture of what is in sight, or of one part of the page with a margin, however long that is."""
    if isinstance(what, Page):
        what.screenshot(path=PICTURES / f"{name}.png", animations="disabled")
    elif box := what.bounding_box():
        clip = FloatRect(
            x=box["x"] - MARGIN, y=box["y"] - MARGIN, width=box["width"] + 2 * MARGIN, height=box["height"] + 2 * MARGIN
        )
        what.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled", full_page=True, clip=clip)
    print(f"{name}.png", flush=True)


if __name__ == "__main__":
    sys.exit(main())
