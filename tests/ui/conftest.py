"""A world whose Vault is sealed, and a browser to mend it with."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from lab.browser import CHROMIUM, Ui, chromium
from lab.world import World


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, whatever needs it is left out and says so."""
    if not CHROMIUM.exists():
        pytest.skip(f"LEFT OUT: Prefect's UI was not tried, as there is no {CHROMIUM} (Debian: apt install chromium)")
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def sealed_world(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """HoodCloud in small, its Vault sealed. Asks for the browser first, as there may be none."""
    with World(tmp_path_factory.mktemp("world")) as world:
        world.break_("vault")
        yield world


@pytest.fixture(scope="session")
def deployment(sealed_world: World) -> str:
    """The id of the deployment of unseal-vault."""
    return str(sealed_world.prefect.ask("deployments/name/unseal-vault/unseal-vault")["id"])


@pytest.fixture(scope="session")
def ui(browser: Browser, sealed_world: World) -> Iterator[Ui]:
    """A window on the UI, tall enough for the whole log of a run: the page keeps only what is in sight."""
    with browser.new_context(viewport={"width": 1280, "height": 2000}) as context:
        yield Ui(context.new_page(), sealed_world.prefect.address)
