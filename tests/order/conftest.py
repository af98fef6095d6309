"""Runs of the flows: without Prefect in forked children, and through a real server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab.hoodcloud_database import HoodcloudDatabases
from lab.postgres import Postgres
from lab.receivers import Receivers
from lab.vault import VaultCluster
from tests.order.forked_runs import Forked

MEMORY, ENOUGH = Path("/dev/shm"), 2**30


@pytest.fixture(scope="session")
def unseal() -> Iterator[Forked]:
    """Runs of unseal-vault, a child each."""
    with Forked("flows.unseal_vault.unseal_vault") as forked:
        yield forked


@pytest.fixture(scope="session")
def recover() -> Iterator[Forked]:
    """Runs of recover-dirty-migration, a child each."""
    with Forked("flows.recover_dirty_migration.recover_dirty_migration") as forked:
        yield forked


@pytest.fixture(scope="session")
def run_migrations() -> Iterator[Forked]:
    """Runs of run-migrations, a child each."""
    with Forked("flows.run_migrations.run_migrations") as forked:
        yield forked


@pytest.fixture(scope="module")
def told_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VaultCluster, Receivers]]:
    """A Vault of one node that knows the receivers of the news, both up; for a module that seals it again and again."""
    folder = tmp_path_factory.mktemp("told")
    with Receivers(folder / "receivers") as receivers, VaultCluster(folder / "vault", nodes=1) as vault:
        vault.initialise()
        vault.seed(receivers.credentials())
        yield vault, receivers


@pytest.fixture(scope="session")
def migrated() -> Iterator[HoodcloudDatabases]:
    """HoodCloud's databases, as many as one likes, on a server of this worker's own.

    In memory where there is room: a database is 600 files, and making those takes ten times as long on a disk.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH
    with TemporaryDirectory(dir=MEMORY if roomy else None) as folder, Postgres(Path(folder)) as server:
        yield HoodcloudDatabases(server)
