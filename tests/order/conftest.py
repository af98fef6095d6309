"""Runs of the flows: without Prefect in forked children, and through a real server."""

from collections.abc import Iterator

import pytest

from lab.receivers import Receivers
from lab.vault import VaultCluster
from tests.order.forked_runs import Forked


@pytest.fixture(scope="session")
def unseal() -> Iterator[Forked]:
    """Runs of unseal-vault, a child each."""
    with Forked("flows.unseal_vault.unseal_vault") as forked:
        yield forked


@pytest.fixture(scope="module")
def told_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VaultCluster, Receivers]]:
    """A Vault of one node that knows the receivers of the news, both up; for a module that seals it again and again."""
    folder = tmp_path_factory.mktemp("told")
    with Receivers(folder / "receivers") as receivers, VaultCluster(folder / "vault", nodes=1) as vault:
        vault.initialise()
        vault.seed(receivers.credentials())
        yield vault, receivers
