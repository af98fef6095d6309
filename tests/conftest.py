"""What several suites share: prepared Vaults to copy, because making one takes seconds and copying one does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.postgres import Postgres
from lab.vault import VaultCluster
from lab.world import World
from store.settings import VaultCluster as Known


@pytest.fixture(scope="session")
def prepared_vault(tmp_path_factory: pytest.TempPathFactory) -> VaultCluster:
    """One node, initialised and seeded, stopped."""
    with VaultCluster(tmp_path_factory.mktemp("prepared") / "one", nodes=1) as cluster:
        cluster.initialise()
        cluster.seed({})
    return cluster


@pytest.fixture(scope="session")
def prepared_cluster(tmp_path_factory: pytest.TempPathFactory) -> VaultCluster:
    """Three nodes, initialised and seeded, stopped."""
    with VaultCluster(tmp_path_factory.mktemp("prepared") / "three", nodes=3) as cluster:
        cluster.initialise()
        cluster.seed({})
    return cluster


@pytest.fixture
def sealed(prepared_vault: VaultCluster, tmp_path: Path) -> Iterator[VaultCluster]:
    """A Vault of one node, up and sealed."""
    with prepared_vault.copy(tmp_path / "vault") as cluster:
        yield cluster


@pytest.fixture
def sealed_cluster(prepared_cluster: VaultCluster, tmp_path: Path) -> Iterator[VaultCluster]:
    """A Vault of three nodes, up and sealed."""
    with prepared_cluster.copy(tmp_path / "vault") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL, up, for all tests of a worker process; each makes databases of its own in it."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def environment_of(vault: VaultCluster, folder: Path, **cluster: object) -> dict[str, str]:
    """The environment of a run for `vault`, its files in `folder`; `cluster` changes the cluster's settings."""
    role = vault.roles["hoodcloud-runbooks"]
    known = Known(
        **{
            "nodes": vault.nodes,
            "cluster_id": vault.cluster_id,
            "custody": "kept",
            "shares": tuple(f"file:{file}" for file in vault.share_files),
            **cluster,
        }  # type: ignore[arg-type]
    )
    key = folder / "cache.key"
    if not key.exists():
        key.write_bytes(b"k" * 32)
        key.chmod(0o400)
    return {
        "ENVIRONMENT": "test",
        "VAULT_ROLE_ID": role.role_id,
        "VAULT_SECRET_ID_PATH": str(role.secret_id_file),
        "VAULT_TLS_CA_FILE": str(vault.ca_file),
        "RUNBOOK_VAULT_CLUSTERS": f'{{"hoodcloud": {known.model_dump_json(exclude_none=True)}}}',
        "RUNBOOK_STORE_URL": f"sqlite:///{folder / 'store.db'}",
        "RUNBOOK_CREDENTIALS_CACHE": str(folder / "channels.lkg"),
        "RUNBOOK_CREDENTIALS_KEY": str(key),
        "RUNBOOK_ENV_FILE": "/dev/null",
    }


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """HoodCloud in small, all real, with the runbooks deployed and everything logged that can be. Vault is unsealed."""
    settings = {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG"}
    with World(tmp_path_factory.mktemp("world"), settings=settings) as up:
        yield up
