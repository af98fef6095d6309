"""The lab's Vault: what the tests of the runbooks rest on."""

from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from lab.certificates import Authority
from lab.processes import processes_of
from lab.server import LabBroken
from lab.vault import VaultCluster
from lab.vault_seed import POLICIES, is_secret

CREDENTIALS = {"incident_slack_webhook_url": "https://slack.test/T1", "incident_telegram_chat_id": "-1001"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> VaultCluster:
    """One node, initialised, seeded, stopped; to be copied."""
    with VaultCluster(tmp_path_factory.mktemp("vault"), nodes=1) as cluster:
        cluster.initialise()
        cluster.seed(CREDENTIALS)
    return cluster


@pytest.fixture
def vault(prepared: VaultCluster, tmp_path: Path) -> Iterator[VaultCluster]:
    """A copy of it, up and sealed."""
    with prepared.copy(tmp_path / "vault") as cluster:
        yield cluster
    assert processes_of(tmp_path) == {}


def test_a_copy_starts_sealed_and_has_everything_once_unsealed(vault: VaultCluster, prepared: VaultCluster) -> None:
    assert vault.health() == {"vault-1": 503}
    assert vault.cluster_id == prepared.cluster_id, "known although it is sealed"
    vault.unseal()
    assert vault.leader() == "vault-1"
    assert vault.cluster_id == prepared.cluster_id
    assert vault.nodes != prepared.nodes
    assert CREDENTIALS.items() <= read(vault.root_client(), "hoodcloud/app-credentials").items()
    vault.power_cut()
    assert vault.health() == {"vault-1": 503}


def read(client: hvac.Client, path: str) -> dict[str, str]:
    """The secret at `path`."""
    answer = client.secrets.kv.v2.read_secret_version(path, mount_point="secret", raise_on_deleted_version=True)
    return dict(answer["data"]["data"])


@pytest.mark.parametrize(
    ("role", "path", "may"),
    [
        ("hoodcloud-runbooks", "hoodcloud/app-credentials", True),
        ("hoodcloud-runbooks", "hoodcloud/master-key", False),
        ("hoodcloud-runbooks", "payment-service/credentials", False),
        ("hoodcloud-control-plane", "hoodcloud/master-key", True),
        ("hoodcloud-auth-server", "hoodcloud/master-key", False),
        ("hoodcloud-payment-service", "payment-service/credentials", True),
        ("hoodcloud-admin", "hoodcloud/master-key", True),
        ("certbot-nats", "infra/certbot/cloudflare", True),
        ("certbot-nats", "hoodcloud/app-credentials", False),
    ],
)
def test_each_role_reads_its_own_and_nothing_else(unsealed: VaultCluster, role: str, path: str, may: bool) -> None:
    client, approle = unsealed.client(), unsealed.roles[role]
    lease = client.auth.approle.login(approle.role_id, approle.secret_id_file.read_text())["auth"]["lease_duration"]
    assert lease == 300
    if may:
        assert read(client, path)
    else:
        with pytest.raises(hvac.exceptions.Forbidden):
            read(client, path)


@pytest.fixture(scope="module")
def unsealed(prepared: VaultCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultCluster]:
    """A copy that is only read."""
    with prepared.copy(tmp_path_factory.mktemp("read") / "vault") as cluster:
        cluster.unseal()
        yield cluster


def test_secrets_lie_in_files_of_their_owner_alone_and_do_not_show(unsealed: VaultCluster) -> None:
    files = [*unsealed.share_files, *(unsealed.roles[name].secret_id_file for name in POLICIES)]
    assert len(files) == 5 + len(POLICIES)
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o400"}
    assert {file.read_text() for file in files} <= set(unsealed.secrets())
    assert not [value for value in unsealed.secrets() if value in repr(unsealed.keys)]
    assert CREDENTIALS["incident_slack_webhook_url"] in unsealed.secrets()
    assert "-1001" not in unsealed.secrets()
    assert all(len(value) > 8 for value in unsealed.secrets()), "what is short is found everywhere"


@pytest.mark.parametrize(
    ("field", "secret"),
    [("database_password", True), ("jwt_private_key", True), ("jwt_public_key", False), ("incident_email_to", False)],
)
def test_which_fields_are_secret(field: str, secret: bool) -> None:
    assert is_secret(field) is secret


def test_only_its_own_authority_vouches_for_it(unsealed: VaultCluster, tmp_path: Path) -> None:
    wrong = Authority(tmp_path / "wrong.pem")
    client = hvac.Client(unsealed.address, verify=str(wrong.ca_file))
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        client.sys.read_health_status()
    client.adapter.close()


def test_the_audit_log_is_on(unsealed: VaultCluster) -> None:
    assert (unsealed.members[0].folder / "audit.log").stat().st_size > 0


@pytest.mark.long
def test_three_nodes_survive_what_a_cluster_survives(tmp_path: Path) -> None:
    with VaultCluster(tmp_path / "first", nodes=3) as first:
        first.initialise()
        first.stop_node(1)
        first.restart_node(1)
        assert first.health()["vault-1"] == 503
        first.unseal(first.members[:1])
        assert sorted(first.health().values()) == [200, 429, 429]
    with first.copy(tmp_path / "copy") as cluster:
        assert set(cluster.health().values()) == {503}
        cluster.stop_node(3)
        cluster.unseal(cluster.members[:2])
        assert sorted(cluster.health().values()) == [0, 200, 429]
        cluster.power_cut()
        assert set(cluster.health().values()) == {503}
    assert processes_of(tmp_path) == {}


def test_a_vault_sealed_by_another_unseals_itself_and_does_not_start_without_it(
    prepared: VaultCluster, tmp_path: Path
) -> None:
    with prepared.copy(tmp_path / "provider") as provider:
        provider.unseal()
        with VaultCluster(tmp_path / "sealed-by", nodes=1, unsealed_by=provider) as cluster:
            cluster.initialise()
            assert cluster.members[0].get("sys/seal-status")[1]["recovery_seal"] is True
            cluster.power_cut()
            cluster.unseal()
            provider.power_cut()
            with pytest.raises(LabBroken, match="Vault is sealed"):
                cluster.power_cut()
