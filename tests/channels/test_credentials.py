"""Credentials from a real OpenBao in every state it can be in, and from a stub for what it cannot be made to say."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from channels_cases import outcome, put_in_line

from channels.cache import Cache
from channels.credentials import Credentials, Source, age, read
from channels.deliver import deliver
from keys import approle
from lab.receivers import Receivers
from lab.vault import VaultCluster
from lab.vault_stub import Answer, VaultStub
from runbooks.errors import BadRequest, Refused, Unreachable
from store.database import Database
from store.settings import Settings
from store.settings import VaultCluster as Known

ROLE = "hoodcloud-runbooks"
PATH = "hoodcloud/app-credentials"
SLACK = {"incident_slack_webhook_url": "https://hooks.slack.com/services/T0/B0/canary-canary"}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultCluster]:
    with VaultCluster(tmp_path_factory.mktemp("vault"), nodes=1) as cluster:
        cluster.initialise()
        cluster.seed(SLACK)
        yield cluster


@pytest.fixture
def here(vault: VaultCluster, key_file: Path, tmp_path: Path) -> Settings:
    """Settings as on a host of this Vault, which is unsealed and holds the Slack field alone."""
    if vault.health() != {"vault-1": 200}:
        vault.unseal()
    kv = vault.root_client().secrets.kv.v2
    kv.create_or_update_secret(PATH, {**SLACK, "database_password": "not-for-us"}, mount_point="secret")
    return Settings(
        vault_addr=vault.address,
        vault_role_id=vault.roles[ROLE].role_id,
        vault_secret_id_path=vault.roles[ROLE].secret_id_file,
        vault_tls_ca_file=vault.ca_file,
        credentials_cache=tmp_path / "channels.lkg",
        credentials_key=key_file,
    )


def test_an_unsealed_vault_tells_and_is_remembered(here: Settings, vault: VaultCluster) -> None:
    found = read(here)
    assert (found.source, found.known, found.why) == (Source.VAULT, True, "")
    assert found.configured == ("slack",)
    assert set(found.fields) == set(SLACK)  # nothing but incident_*
    assert Cache(here).load().fields == SLACK
    accessors = vault.root_client().list("auth/token/accessors")["data"]["keys"]
    assert len(accessors) == 1  # root's: ours was given back


def test_a_sealed_vault_leaves_what_was_known_last(here: Settings, vault: VaultCluster) -> None:
    read(here)
    vault.seal()
    began = time.monotonic()
    found = read(here)
    assert time.monotonic() - began < 2
    assert (found.source, found.known, found.configured) == (Source.CACHE, True, ("slack",))
    assert "is sealed" in found.why
    assert found.notice == f"credentials from cache, {age(found.age_s)} old"


def test_a_sealed_vault_and_no_cache_is_not_the_same_as_nothing_configured(here: Settings, vault: VaultCluster) -> None:
    vault.seal()
    found = read(here)
    assert (found.source, found.known, found.configured) == (Source.NONE, False, ())
    assert "is sealed" in found.why
    assert "there is no cache yet" in found.why


def test_a_vault_that_is_gone_leaves_what_was_known_last(here: Settings, vault: VaultCluster) -> None:
    read(here)
    vault.stop()
    try:
        assert read(here).source is Source.CACHE
    finally:
        vault.start()


def test_a_secret_that_was_deleted_does_not_come_back_from_the_cache(here: Settings, vault: VaultCluster) -> None:
    read(here)
    vault.root_client().secrets.kv.v2.delete_latest_version_of_secret(PATH, mount_point="secret")
    found = read(here)
    assert (found.source, found.known, found.configured) == (Source.VAULT, True, ())
    assert found.why == "secret/hoodcloud/app-credentials does not exist in Vault"
    vault.seal()
    assert read(here).configured == ()


def test_a_field_that_was_deleted_does_not_come_back_from_the_cache(here: Settings, vault: VaultCluster) -> None:
    read(here)
    vault.root_client().secrets.kv.v2.create_or_update_secret(PATH, {"other": "x"}, mount_point="secret")
    assert read(here).configured == ()
    vault.seal()
    found = read(here)
    assert (found.source, found.configured) == (Source.CACHE, ())


def _other_secret_id(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "secret-id").write_text("0d5c3e0e-0000-4000-8000-000000000000")
    return settings.model_copy(update={"vault_secret_id_path": tmp_path / "secret-id"})


def _role_of_others(settings: Settings, vault: VaultCluster) -> Settings:
    role = vault.roles["certbot-nats"]
    return settings.model_copy(update={"vault_role_id": role.role_id, "vault_secret_id_path": role.secret_id_file})


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("secret id revoked", "does not accept the AppRole"),
        ("role unknown", "does not accept the AppRole no-such-…"),
        ("policy without a right", "does not let our AppRole read secret/hoodcloud/app-credentials (Forbidden)"),
    ],
)
def test_whoever_is_refused_gets_nothing_and_keeps_nothing(
    here: Settings, vault: VaultCluster, tmp_path: Path, how: str, why: str
) -> None:
    read(here)
    refused = {
        "secret id revoked": lambda: _other_secret_id(here, tmp_path),
        "role unknown": lambda: here.model_copy(update={"vault_role_id": "no-such-role"}),
        "policy without a right": lambda: _role_of_others(here, vault),
    }[how]()
    found = read(refused)
    assert (found.source, found.known, found.configured) == (Source.NONE, False, ())
    assert why in found.why
    assert Cache(here).load().why == "there is no cache yet"
    vault.seal()
    assert read(here).configured == ()


@pytest.mark.parametrize("same", [True, False])
def test_a_refusal_is_believed_from_the_pinned_cluster_alone(
    here: Settings, vault: VaultCluster, tmp_path: Path, same: bool
) -> None:
    read(here)
    pin = vault.cluster_id if same else "00000000-0000-4000-8000-000000000000"
    pinned = Known(nodes={"v": vault.address}, ca_file=vault.ca_file, cluster_id=pin)
    refused = _other_secret_id(here, tmp_path).model_copy(update={"vault_clusters": {"hoodcloud": pinned}})
    found = read(refused)
    assert "does not accept the AppRole" in found.why
    assert found.configured == (() if same else ("slack",))
    assert Cache(here).load().fields == (None if same else SLACK)


def test_a_vault_with_another_certificate_is_told_nothing(here: Settings, tmp_path: Path) -> None:
    read(here)
    with VaultStub(tmp_path / "stranger") as stranger:
        stranger.answer("auth/approle/login", Answer(200, {"auth": {"client_token": "x" * 30}}))
        found = read(here.model_copy(update={"vault_addr": stranger.address}))
        assert stranger.asked == []
    assert found.source is Source.CACHE
    assert "SSLError" in found.why


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("vault_secret_id_path", "the secret id in "),
        ("vault_tls_ca_file", "there is no CA file "),
        ("vault_role_id", "VAULT_ROLE_ID is not set"),
    ],
)
def test_settings_that_will_not_do_are_named(here: Settings, tmp_path: Path, missing: str, why: str) -> None:
    wrong = None if missing == "vault_role_id" else tmp_path / "not-there"
    found = read(here.model_copy(update={missing: wrong}))
    assert (found.source, found.known) == (Source.NONE, False)
    assert why in found.why


def test_a_proxy_of_the_environment_has_no_say(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert read(here).source is Source.VAULT


def test_a_token_never_travels_in_the_clear(here: Settings) -> None:
    found = read(here.model_copy(update={"vault_addr": "http://127.0.0.1:8200"}))
    assert found.why == "http://127.0.0.1:8200 is not https"


def test_the_next_node_is_asked_when_one_is_dead_or_silent(here: Settings, vault: VaultCluster) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        nodes = {
            "dead": "https://127.0.0.1:9",
            "silent": f"https://127.0.0.1:{silent.getsockname()[1]}",
            "good": vault.address,
        }
        cluster = Known(nodes=nodes, ca_file=vault.ca_file)
        settings = here.model_copy(update={"vault_addr": nodes["dead"], "vault_clusters": {"hoodcloud": cluster}})
        began = time.monotonic()
        assert read(settings).source is Source.VAULT
        assert time.monotonic() - began < 2


def test_all_nodes_silent_take_two_seconds_together(here: Settings, vault: VaultCluster) -> None:
    read(here)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        nodes = {
            "a": address,
            "b": address.replace("127.0.0.1", "localhost"),
            "c": address.replace("127.0.0.1", "127.0.0.2"),
        }
        cluster = Known(nodes=nodes, ca_file=vault.ca_file)
        settings = here.model_copy(update={"vault_addr": None, "vault_clusters": {"hoodcloud": cluster}})
        began = time.monotonic()
        found = read(settings)
    assert time.monotonic() - began < 2.2
    assert found.source is Source.CACHE


def test_with_several_clusters_one_must_be_ours(here: Settings, vault: VaultCluster) -> None:
    ours = Known(nodes={"v": vault.address}, ca_file=vault.ca_file)
    other = Known(nodes={"v": "https://127.0.0.1:9"})
    bare = here.model_copy(update={"vault_addr": None})
    assert (
        read(bare.model_copy(update={"vault_clusters": {"payment": other, "hoodcloud": ours}})).source is Source.VAULT
    )
    unclear = read(bare.model_copy(update={"vault_clusters": {"a": other, "b": ours}}))
    assert (unclear.source, unclear.known) == (Source.NONE, False)
    assert "VAULT_ADDR is not set" in unclear.why


def test_a_run_logs_in_by_itself(here: Settings, vault: VaultCluster, tmp_path: Path) -> None:
    client = approle.login(vault.address, vault.ca_file, here, timeout_s=2)
    assert client.is_authenticated()
    approle.logout(client)
    with pytest.raises(Refused, match="does not accept the AppRole"):
        approle.login(vault.address, vault.ca_file, _other_secret_id(here, tmp_path), timeout_s=2)
    with pytest.raises(BadRequest, match="there is no CA file"):
        approle.login(vault.address, tmp_path / "no-ca", here, timeout_s=2)
    vault.seal()
    with pytest.raises(Unreachable, match="is sealed"):
        approle.login(vault.address, vault.ca_file, here, timeout_s=2)


def test_news_of_a_sealed_vault_arrive_and_say_how_they_were_sent(
    here: Settings, vault: VaultCluster, receivers: Receivers, db: Database
) -> None:
    kv = vault.root_client().secrets.kv.v2
    kv.create_or_update_secret(PATH, receivers.credentials(), mount_point="secret")
    settings = here.model_copy(update={"telegram_api": receivers.address})
    read(settings)
    vault.seal()
    put_in_line(db, outcome())
    assert [one.sent for one in deliver(db, settings, deadline_s=8)] == [1, 1, 1, 1]
    for channel in ("slack", "telegram", "email"):
        assert "credentials from cache, 0 s old" in f"{receivers.arrived(channel)[0]['message']}"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (3 * 3600, "3 h"), (86_400 * 2, "2 d")],
)
def test_age(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_a_secret_is_in_no_repr(here: Settings) -> None:
    assert "canary" not in f"{read(here)!r} {Credentials.of(SLACK)!r} {Cache(here).load()!r}"
