"""One set of receivers for all tests, emptied before each, and a store of each test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.credentials import Credentials
from lab.receivers import Receivers
from store.database import Database
from store.settings import Settings


@pytest.fixture(scope="session")
def _receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    with Receivers(tmp_path_factory.mktemp("receivers")) as started:
        yield started


@pytest.fixture
def receivers(_receivers: Receivers) -> Receivers:
    _receivers.clear()
    return _receivers


@pytest.fixture
def credentials(receivers: Receivers) -> Credentials:
    return Credentials.of(receivers.credentials())


@pytest.fixture
def settings(receivers: Receivers, tmp_path: Path) -> Settings:
    return Settings(telegram_api=receivers.address, send_timeout_s=1.0, credentials_cache=tmp_path / "channels.lkg")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "cache-key"
    file.write_text("k" * 44)
    file.chmod(0o400)
    return file
