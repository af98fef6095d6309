"""The runbook against a real Vault, without Prefect: what is wrong is said in one line, and nothing is changed."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lab.certificates import Authority
from lab.vault import VaultCluster
from lab.vault_stub import HEALTH, Answer, VaultStub, seal_status
from runbooks.sealed_vault import Finding
from tests.conftest import environment_of
from tests.order.forked_runs import Ended, Forked


def look(unseal: Forked, environment: Mapping[str, str]) -> Ended:
    ended = unseal.run(environment)
    assert ended.reference != "traceback", ended.error
    return ended


def one_line(ended: Ended) -> bool:
    return ended.error.isprintable() and f"ref: {ended.reference}" in ended.error


def untouched(vault: VaultCluster) -> bool:
    """No node has a share more than before: none at all."""
    return all(vault.client(name).seal_status["progress"] == 0 for name in vault.nodes if vault.health()[name] == 503)


def put(folder: Path, name: str, text: str, mode: int = 0o400) -> str:
    file = folder / name
    file.write_text(text)
    file.chmod(mode)
    return f"file:{file}"


def shares_of(vault: VaultCluster) -> list[str]:
    return [f"file:{file}" for file in vault.share_files]


# A newcomer adds a case here: which shares the run is given, and what the look finds.
Shares = Callable[[VaultCluster, Path], list[str]]
MISSING: dict[str, tuple[Shares, str]] = {
    "none": (lambda _vault, _folder: [], "1 of 1 sealed"),
    "too few": (lambda vault, _folder: shares_of(vault)[:2], "1 of 1 sealed"),
    "one is malformed": (
        lambda vault, folder: [*shares_of(vault)[:2], put(folder, "bad", "not a share")],
        "is malformed",
    ),
    "one is there twice": (
        lambda vault, folder: [*shares_of(vault)[:2], put(folder, "two", vault.keys.shares_base64[0])],
        "is the same share as",
    ),
    "one may be read by others": (
        lambda vault, folder: [*shares_of(vault)[:2], put(folder, "open", vault.keys.shares[2], 0o444)],
        "has mode 0444, must be 0400",
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_too_few_good_shares_are_found_by_looking(
    unseal: Forked, sealed: VaultCluster, tmp_path: Path, case: str
) -> None:
    shares, said = MISSING[case]
    ended = look(unseal, environment_of(sealed, tmp_path, shares=tuple(shares(sealed, tmp_path))))
    assert ended.reference == Finding.SHARES_MISSING
    assert said in ended.error
    assert one_line(ended) and untouched(sealed)


def test_shares_of_another_vault_are_refused_and_leave_nothing(
    unseal: Forked, sealed: VaultCluster, tmp_path: Path
) -> None:
    foreign = tuple(put(tmp_path, f"foreign-{number}", f"{number:02x}" * 33) for number in range(1, 5))
    environment = environment_of(sealed, tmp_path, shares=foreign)
    ended = unseal.run(environment, approve=look(unseal, environment).digest)
    assert ended.reference == "shares-rejected"
    assert one_line(ended) and untouched(sealed)
    assert sealed.health() == {"vault-1": 503}


def test_a_wrong_share_among_good_ones_is_named_and_the_vault_comes_back(
    unseal: Forked, sealed: VaultCluster, tmp_path: Path
) -> None:
    wrong = put(tmp_path, "wrong", "0f" * 33)
    environment = environment_of(sealed, tmp_path, shares=(wrong, *shares_of(sealed)[:3]))
    ended = unseal.run(environment, approve=look(unseal, environment).digest)
    assert ended.ending == "done", ended.error
    noted = database_rows(environment, "SELECT data FROM journal WHERE event = 'applied'")
    assert f"wrong share: {wrong}" in json.loads(noted[0])["note"]


def database_rows(environment: Mapping[str, str], query: str) -> list[str]:
    import sqlite3

    with sqlite3.connect(environment["RUNBOOK_STORE_URL"].removeprefix("sqlite:///")) as db:
        return [row[0] for row in db.execute(query)]


def test_somebody_else_is_not_disturbed(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    environment = environment_of(sealed, tmp_path)
    digest = look(unseal, environment).digest
    sealed.client().sys.submit_unseal_key(sealed.keys.shares[0])
    before = sealed.client().seal_status
    for ended in (look(unseal, environment), unseal.run(environment, approve=digest)):
        assert ended.reference == Finding.SOMEONE_ELSE
        assert one_line(ended)
    assert sealed.client().seal_status == before


def test_a_step_that_gave_nothing_leaves_nothing_to_discard(
    unseal: Forked, sealed: VaultCluster, tmp_path: Path
) -> None:
    broken = tmp_path / "give"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o500)
    environment = environment_of(sealed, tmp_path, shares=(f"command:{broken}", *shares_of(sealed)[:2]))
    failed = unseal.run(environment, approve=look(unseal, environment).digest)
    assert failed.reference == Finding.SHARES_MISSING
    sealed.client().sys.submit_unseal_key(sealed.keys.shares[3])
    assert look(unseal, environment).reference == Finding.SOMEONE_ELSE, "a holder's share is not taken for ours"
    assert sealed.client().seal_status["progress"] == 1


def test_a_wrong_ca_means_that_nothing_is_given(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    Authority(tmp_path / "wrong-ca.pem")
    environment = environment_of(sealed, tmp_path) | {"VAULT_TLS_CA_FILE": str(tmp_path / "wrong-ca.pem")}
    ended = look(unseal, environment)
    assert ended.reference == Finding.UNTRUSTED
    assert "not signed by the pinned CA" in ended.error
    assert one_line(ended) and untouched(sealed)


def test_a_missing_ca_file_is_named(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    ended = look(unseal, environment_of(sealed, tmp_path) | {"VAULT_TLS_CA_FILE": str(tmp_path / "none.pem")})
    assert ended.reference == "vault-ca-missing"
    assert one_line(ended)


def test_a_dead_node_and_a_pinned_id_of_another_cluster(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    foreign = environment_of(sealed, tmp_path, cluster_id="00000000-0000-0000-0000-000000000000")
    ended = unseal.run(foreign, approve=look(unseal, foreign).digest)
    assert ended.reference == Finding.WRONG_CLUSTER, "only an unsealed node tells which cluster it is"
    assert look(unseal, foreign).reference == Finding.WRONG_CLUSTER
    sealed.stop_node(1)
    ended = look(unseal, foreign)
    assert ended.reference == Finding.UNREACHABLE
    assert one_line(ended)


def test_three_nodes_one_of_them_down(unseal: Forked, sealed_cluster: VaultCluster, tmp_path: Path) -> None:
    sealed_cluster.stop_node(3)
    environment = environment_of(sealed_cluster, tmp_path)
    ended = unseal.run(environment, approve=look(unseal, environment).digest)
    assert ended.ending == "done", ended.error
    health = sealed_cluster.health()
    assert sorted(health.values()) == [0, 200, 429]
    (told,) = database_rows(environment, 'SELECT outcome FROM outcomes WHERE outcome LIKE \'%"ending":"done"%\'')
    assert "vault-3 did not answer" in json.loads(told)["summary"]


def test_one_of_three_nodes_is_too_few_to_begin(unseal: Forked, sealed_cluster: VaultCluster, tmp_path: Path) -> None:
    sealed_cluster.stop_node(2)
    sealed_cluster.stop_node(3)
    ended = look(unseal, environment_of(sealed_cluster, tmp_path))
    assert ended.reference == Finding.UNREACHABLE
    assert untouched(sealed_cluster)


PLAYED = {
    "472": (Answer(HEALTH["disaster-recovery secondary"]), {"sealed": False}, Finding.DR_SECONDARY),
    "474": (Answer(474), {"sealed": False}, Finding.NO_LEADER),
    "530": (Answer(530), {"sealed": False}, Finding.NODE_REMOVED),
    "awskms": (Answer(503), {"type": "awskms", "recovery_seal": True}, Finding.AUTO_UNSEAL),
    "migration": (Answer(503), {"migration": True}, Finding.SEAL_MIGRATION),
    "501": (Answer(501), {"initialized": False}, Finding.NOT_INITIALISED),
    "a code that no Vault has": (Answer(418), {"sealed": False}, Finding.UNREACHABLE),
}


@pytest.mark.parametrize("case", PLAYED)
def test_what_only_other_vaults_say(unseal: Forked, prepared_vault: VaultCluster, tmp_path: Path, case: str) -> None:
    health, status, finding = PLAYED[case]
    with VaultStub(tmp_path / "stub") as stub:
        stub.answer("sys/health", health)
        stub.answer("sys/seal-status", Answer(200, {**seal_status(), **status}))
        environment = environment_of(prepared_vault, tmp_path, nodes={"vault-1": stub.address})
        environment |= {"VAULT_TLS_CA_FILE": str(stub.ca_file), "RUNBOOK_VAULT_SETTLE_S": "0.3"}
        ended = look(unseal, environment)
        assert ended.reference == finding, ended
        assert one_line(ended)
        assert not [asked for asked in stub.asked if asked.path == "sys/unseal"]


def test_a_performance_standby_is_a_standby(unseal: Forked, prepared_vault: VaultCluster, tmp_path: Path) -> None:
    with VaultStub(tmp_path / "one") as active, VaultStub(tmp_path / "two") as standby:
        for stub, code in ((active, 200), (standby, 473)):
            stub.answer("sys/health", Answer(code))
            stub.answer("sys/seal-status", Answer(200, seal_status(sealed=False)))
        bundle = tmp_path / "both.pem"
        bundle.write_text(active.ca_file.read_text() + standby.ca_file.read_text())
        nodes = {"vault-1": active.address, "vault-2": standby.address}
        environment = environment_of(prepared_vault, tmp_path, nodes=nodes, cluster_id="")
        del environment["VAULT_ROLE_ID"]
        ended = look(unseal, environment | {"VAULT_TLS_CA_FILE": str(bundle)})
    assert ended.ending == "nothing to do", ended.error


def give_share(environment: Mapping[str, str], share: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", f"from gateway.command_line import main; main(['give-share', *{flags!r}])"]
    return subprocess.run(
        command, input=share + "\n", env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_holders_give_their_shares_straight_to_vault_while_the_run_counts(
    unseal: Forked, sealed: VaultCluster, tmp_path: Path
) -> None:
    environment = environment_of(sealed, tmp_path, custody="quorum", shares=())
    holder = {
        name: value for name, value in environment.items() if name in ("RUNBOOK_VAULT_CLUSTERS", "VAULT_TLS_CA_FILE")
    }
    looked = look(unseal, environment)
    assert looked.ending == "awaits approval"
    ended: list[Ended] = []
    run = threading.Thread(target=lambda: ended.append(unseal.run(environment, approve=looked.digest)))
    run.start()
    said = [give_share(holder, sealed.keys.shares[number]) for number in (0, 0, 1)]
    assert "has 1 of 3 shares" in said[0].stdout
    assert "already had this share (1 of 3)" in said[1].stdout
    assert "has 2 of 3 shares" in said[2].stdout
    assert give_share(holder, "nonsense!").returncode == 2
    assert "is unsealed" in give_share(holder, sealed.keys.shares_base64[2]).stdout
    run.join(60)
    assert ended[0].ending == "done", ended[0].error
    assert "is unsealed already" in give_share(holder, sealed.keys.shares[3]).stdout


def test_a_holder_with_a_wrong_share_is_found_out_and_all_give_again(
    unseal: Forked, sealed: VaultCluster, tmp_path: Path
) -> None:
    environment = environment_of(sealed, tmp_path, custody="quorum", shares=())
    looked = look(unseal, environment)
    ended: list[Ended] = []
    run = threading.Thread(target=lambda: ended.append(unseal.run(environment, approve=looked.digest)))
    run.start()
    said = [give_share(environment, share) for share in (*sealed.keys.shares[:2], "0f" * 33)]
    assert "one of them was wrong" in said[2].stdout
    said += [give_share(environment, share) for share in sealed.keys.shares[:3]]
    run.join(60)
    assert ended[0].ending == "done", ended[0].error
    assert "fingerprint of your share" in said[0].stdout
    assert sealed.keys.shares[0] not in said[0].stdout + said[0].stderr


def test_a_fingerprint_is_shown_without_sending_anything(sealed: VaultCluster, tmp_path: Path) -> None:
    shown = give_share(environment_of(sealed, tmp_path), sealed.keys.shares_base64[0], "--fingerprint")
    digest = hashlib.sha256(bytes.fromhex(sealed.keys.shares[0])).hexdigest()[:8]
    assert shown.stdout == f"fingerprint of your share: {digest}\n"
    assert untouched(sealed)


def test_holders_who_do_not_come_in_time(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    environment = environment_of(sealed, tmp_path, custody="quorum", shares=()) | {"RUNBOOK_VAULT_SHARES_WAIT_S": "0.2"}
    sealed.client().sys.submit_unseal_key(sealed.keys.shares[0])
    ended = unseal.run(environment, approve=look(unseal, environment).digest)
    assert ended.reference == Finding.AWAITING_SHARES
    assert "vault-1 has 1 of 3" in ended.error


def test_an_unusable_vault_is_not_called_healthy(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    sealed.unseal()
    environment = environment_of(sealed, tmp_path) | {"RUNBOOK_VAULT_PROBE_SECRET": "secret/hoodcloud/master-key"}
    ended = look(unseal, environment)
    assert ended.reference == Finding.UNUSABLE
    assert "cannot read secret/hoodcloud/master-key" in ended.error


@pytest.mark.long
def test_a_node_that_lost_its_disk_joins_and_is_given_its_shares(unseal: Forked, tmp_path: Path) -> None:
    with VaultCluster(tmp_path / "vault", nodes=3) as cluster:  # a copied one has addresses that raft does not know
        cluster.initialise()
        cluster.seed({})
        cluster.power_cut()
        cluster.replace_node(3)
        environment = environment_of(cluster, tmp_path)
        ended = unseal.run(environment, approve=look(unseal, environment).digest)
        assert ended.ending == "done", ended.error
        assert sorted(cluster.health().values()) == [200, 429, 429]


def test_a_store_that_cannot_be_written_starts_nothing(unseal: Forked, sealed: VaultCluster, tmp_path: Path) -> None:
    environment = environment_of(sealed, tmp_path)
    digest = look(unseal, environment).digest
    file = environment["RUNBOOK_STORE_URL"].removeprefix("sqlite:///")
    read_only = environment | {"RUNBOOK_STORE_URL": f"sqlite:///file:{file}?mode=ro&uri=true"}
    full = environment | {"RUNBOOK_STORE_URL": "sqlite:////dev/full/store.db"}
    for ended in (unseal.run(read_only, approve=digest), unseal.run(full, approve=digest)):
        assert ended.reference.startswith("store-"), ended
        assert one_line(ended)
    assert untouched(sealed)
