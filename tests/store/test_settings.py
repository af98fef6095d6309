"""Settings: a wrong value is one clear line, never a traceback and never the value of a secret."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from runbooks.catalogue import runbook
from runbooks.errors import BadRequest
from store.settings import Settings, load

ONE = '{"hoodcloud": {"nodes": {"vault-1": "https://10.0.0.1:8200"}, %s}}'

# A newcomer adds a case here: a wrong value, and what is said of it.
WRONG: dict[str, tuple[Mapping[str, str], str]] = {
    "no verification": ({"VAULT_TLS_SKIP_VERIFY": "true"}, "VAULT_TLS_SKIP_VERIFY: must not be true"),
    "plain http": ({"RUNBOOK_VAULT_CLUSTERS": '{"a": {"nodes": {"n": "http://10.0.0.1:8200"}}}'}, "reached by https"),
    "no nodes": ({"RUNBOOK_VAULT_CLUSTERS": '{"a": {"nodes": {}}}'}, "RUNBOOK_VAULT_CLUSTERS.a.nodes"),
    "one address twice": (
        {"RUNBOOK_VAULT_CLUSTERS": '{"a": {"nodes": {"n": "https://h:1", "m": "https://h:1"}}}'},
        "two nodes have the same address",
    ),
    "an unknown key": ({"RUNBOOK_VAULT_CLUSTERS": ONE % '"shres": []'}, "shres"),
    "an unknown custody": ({"RUNBOOK_VAULT_CLUSTERS": ONE % '"custody": "mine"'}, "custody"),
    "no JSON": ({"RUNBOOK_VAULT_CLUSTERS": "hoodcloud"}, "vault_clusters"),
    "no number": ({"RUNBOOK_VAULT_SETTLE_S": "soon"}, "RUNBOOK_VAULT_SETTLE_S"),
    "a number that is too large": ({"RUNBOOK_HEARTBEAT_STALE_S": "1e9"}, "RUNBOOK_HEARTBEAT_STALE_S"),
    "an address with a password": ({"VAULT_ADDR": "https://me:secretword@vault:8200"}, "VAULT_ADDR"),
    "a policy for no runbook": (
        {"RUNBOOK_POLICIES": '{"unseal_vault": {"approvals": 2}}'},
        "unseal_vault is no runbook",
    ),
    "a folder": ({"RUNBOOK_ENV_FILE": "/tmp"}, "/tmp, which is no file"),
    "a file that is not there": ({"RUNBOOK_ENV_FILE": "/nowhere/runbooks.env"}, "/nowhere/runbooks.env"),
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("RUNBOOK_", "VAULT_", "PREFECT_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    values, said = WRONG[case]
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadRequest) as wrong:
        load()
    assert wrong.value.reference == "bad-setting"
    assert said in wrong.value.message
    assert str(wrong.value).isprintable()
    assert "secretword" not in str(wrong.value)


def test_a_file_fills_what_the_environment_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VAULT_ADDR=https://from-file:8200\nRUNBOOK_SEND_TIMEOUT_S=7\n")
    monkeypatch.setenv("VAULT_ADDR", "https://from-environment:8200")
    found = load()
    assert (found.vault_addr, found.send_timeout_s) == ("https://from-environment:8200", 7)
    assert found.cluster("hoodcloud").nodes == {"vault": "https://from-environment:8200"}


def test_a_file_that_somebody_else_could_have_put_there_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VAULT_ADDR=https://evil:8200\n")
    (tmp_path / ".env").chmod(0o666)
    with pytest.raises(BadRequest, match="can be changed by others"):
        load()


def test_a_cluster_that_is_none_is_answered_with_those_that_are() -> None:
    with pytest.raises(BadRequest, match="the clusters are: none") as unknown:
        load().cluster("other")
    assert unknown.value.reference == "unknown-cluster"


def test_a_deployment_changes_a_policy_but_not_into_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    book = runbook("unseal-vault")
    monkeypatch.setenv("RUNBOOK_POLICIES", '{"unseal-vault": {"approvals": 2, "typed_digest_counts": false}}')
    assert load().policy(book).approvals == 2
    monkeypatch.setenv("RUNBOOK_POLICIES", '{"unseal-vault": {"approvals": 2}}')
    with pytest.raises(BadRequest, match=r"RUNBOOK_POLICIES\.unseal-vault makes no sense"):
        load().policy(book)


def test_the_store_s_password_does_not_print() -> None:
    found = Settings(RUNBOOK_STORE_URL="postgresql://me:secretword@host/db")  # type: ignore[arg-type]
    assert "secretword" not in f"{found!r} {found}"
