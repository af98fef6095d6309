"""What a Vault may say that a real one cannot be made to say at will."""

from pathlib import Path

import pytest

from channels.cache import Cache
from channels.credentials import Source, read
from lab.vault_stub import Answer, VaultStub, seal_status
from store.settings import Settings, VaultCluster

SLACK = {"incident_slack_webhook_url": "https://hooks.slack.com/services/T0/B0/canary-canary"}

LOGIN, SECRET = "auth/approle/login", "secret/data/hoodcloud/app-credentials"
TOKEN = Answer(200, {"auth": {"client_token": "hvs.CAESIJ0123456789abcdefgh"}})
FOUND = Answer(200, {"data": {"data": SLACK, "metadata": {}}})

SAYS = {
    "login 500": ({LOGIN: Answer(500)}, Source.CACHE),
    "login 502": ({LOGIN: Answer(502)}, Source.CACHE),
    "login 503": ({LOGIN: Answer(503)}, Source.CACHE),
    "login 429": ({LOGIN: Answer(429)}, Source.CACHE),
    "login hangs up": ({LOGIN: Answer(0)}, Source.CACHE),
    "login makes no sense": ({LOGIN: Answer(200, {"auth": None})}, Source.CACHE),
    "login 400": ({LOGIN: Answer(400, {"errors": ["invalid role or secret ID"]})}, Source.NONE),
    "login 403": ({LOGIN: Answer(403)}, Source.NONE),
    "login 404": ({LOGIN: Answer(404)}, Source.NONE),
    "read 500": ({LOGIN: TOKEN, SECRET: Answer(500)}, Source.CACHE),
    "read 429": ({LOGIN: TOKEN, SECRET: Answer(429)}, Source.CACHE),
    "read 412": ({LOGIN: TOKEN, SECRET: Answer(412)}, Source.CACHE),
    "read makes no sense": ({LOGIN: TOKEN, SECRET: Answer(200, {"data": []})}, Source.CACHE),
    "read 403": ({LOGIN: TOKEN, SECRET: Answer(403)}, Source.NONE),
    "read 404": ({LOGIN: TOKEN, SECRET: Answer(404, {"errors": []})}, Source.VAULT),
    "read 200": ({LOGIN: TOKEN, SECRET: FOUND}, Source.VAULT),
}


@pytest.mark.parametrize("case", SAYS)
def test_whatever_a_vault_says(key_file: Path, tmp_path: Path, case: str) -> None:
    answers, source = SAYS[case]
    (tmp_path / "secret-id").write_text("an-id-of-some-length")
    with VaultStub(tmp_path / "stub") as stub:
        settings = Settings(
            vault_addr=stub.address,
            vault_role_id="role",
            vault_secret_id_path=tmp_path / "secret-id",
            vault_tls_ca_file=stub.ca_file,
            credentials_cache=tmp_path / "channels.lkg",
            credentials_key=key_file,
        )
        Cache(settings).save(SLACK)
        for path, answer in answers.items():
            stub.answer(path, answer)
        found = read(settings)
    assert found.source is source
    assert bool(found.why) == (case != "read 200")
    assert found.configured == (("slack",) if source is Source.CACHE or case == "read 200" else ())
    assert "canary" not in f"{found!r} {found.why}"


REFUSALS = ("login 400", "login 403", "login 404", "read 403", "read 404")
OURS, ANOTHER = "0b6a8f6e-ours", "7c11d2aa-another"


def _pinned(stub: VaultStub, key_file: Path, tmp_path: Path, *others: str) -> Settings:
    (tmp_path / "secret-id").write_text("an-id-of-some-length")
    nodes = {f"vault-{number}": address for number, address in enumerate((stub.address, *others), 1)}
    settings = Settings(
        vault_addr=stub.address,
        vault_clusters={"hoodcloud": VaultCluster(nodes=nodes, ca_file=tmp_path / "cas.pem", cluster_id=OURS)},
        vault_role_id="role",
        vault_secret_id_path=tmp_path / "secret-id",
        credentials_cache=tmp_path / "channels.lkg",
        credentials_key=key_file,
    )
    (tmp_path / "cas.pem").write_bytes(stub.ca_file.read_bytes())
    Cache(settings).save(SLACK)
    return settings


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize(
    ("status", "believed", "why"),
    [
        (Answer(200, seal_status(sealed=False, cluster_id=OURS)), True, ""),
        (Answer(200, seal_status(sealed=False, cluster_id=ANOTHER)), False, f"it is cluster {ANOTHER}, not the pinned"),
        (Answer(200, seal_status()), False, "it is cluster without an id, not the pinned"),
        (Answer(500), False, "gave no answer of use (InternalServerError)"),
        (Answer(200, {"errors": []}), False, "it is cluster without an id"),
        (Answer(307), False, "sends us elsewhere"),
        (Answer(0), False, "gave no answer of use (ConnectionError)"),
    ],
)
def test_a_refusal_counts_only_from_the_pinned_cluster(
    key_file: Path, tmp_path: Path, case: str, status: Answer, believed: bool, why: str
) -> None:
    with VaultStub(tmp_path / "stub") as stub:
        settings = _pinned(stub, key_file, tmp_path)
        for path, answer in SAYS[case][0].items():
            stub.answer(path, answer)
        stub.answer("sys/seal-status", status)
        found = read(settings)
        assert [asked.token for asked in stub.asked if asked.path == "sys/seal-status"] == [""]
    assert found.source is (SAYS[case][1] if believed else Source.CACHE)
    assert found.configured == (() if believed else ("slack",))
    assert why in found.why
    assert Cache(settings).load().fields == (None if believed else SLACK)


def test_after_another_vault_the_next_node_is_asked(key_file: Path, tmp_path: Path) -> None:
    with VaultStub(tmp_path / "another") as another, VaultStub(tmp_path / "ours") as ours:
        settings = _pinned(another, key_file, tmp_path, ours.address)
        (tmp_path / "cas.pem").write_bytes(another.ca_file.read_bytes() + ours.ca_file.read_bytes())
        another.answer("sys/seal-status", Answer(200, seal_status(sealed=False, cluster_id=ANOTHER)))
        another.answer(LOGIN, Answer(400))
        ours.answer(LOGIN, TOKEN)
        ours.answer(SECRET, FOUND)
        assert read(settings).source is Source.VAULT
