"""The stub plays what it is told, to the client that the runbooks use."""

from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
import requests

from lab.vault_stub import HEALTH, WRONG_KEY, WRONG_KEY_BEFORE_1_13, Answer, Asked, VaultStub, seal_status


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultStub]:
    """One stub for all: every test says its answers."""
    with VaultStub(tmp_path_factory.mktemp("stub")) as stub:
        yield stub


@pytest.fixture
def client(stub: VaultStub) -> Iterator[hvac.Client]:
    """The runbooks' client."""
    client = hvac.Client(stub.address, token="t0ken", verify=str(stub.ca_file))
    yield client
    client.adapter.close()


@pytest.mark.parametrize("code", HEALTH.values(), ids=HEALTH)
def test_every_health_code(stub: VaultStub, client: hvac.Client, code: int) -> None:
    stub.answer("sys/health", Answer(code))
    assert client.sys.read_health_status(method="HEAD").status_code == code


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(WRONG_KEY, hvac.exceptions.InvalidRequest), (WRONG_KEY_BEFORE_1_13, hvac.exceptions.InternalServerError)],
)
def test_answers_come_one_after_the_other_and_the_last_for_ever(
    stub: VaultStub, client: hvac.Client, wrong: Answer, kind: type[Exception]
) -> None:
    stub.answer("sys/unseal", Answer(200, seal_status(progress=1)), Answer(200, seal_status(progress=2)), wrong)
    assert [client.sys.submit_unseal_key("k")["progress"] for _ in range(2)] == [1, 2]
    for _ in range(2):
        with pytest.raises(kind, match="message authentication failed"):
            client.sys.submit_unseal_key("k")
    assert stub.asked[-1] == Asked("PUT", "sys/unseal", {"key": "k", "migrate": False}, "t0ken")
    assert "t0ken" not in repr(stub.asked)


def test_a_sealed_vault_of_hoodcloud_is_what_it_plays_unless_told(client: hvac.Client) -> None:
    status = client.sys.read_seal_status()
    assert (status["sealed"], status["t"], status["n"], "cluster_id" in status) == (True, 3, 5, False)


def test_it_can_hang_up_and_be_late(stub: VaultStub, client: hvac.Client) -> None:
    stub.answer("sys/leader", Answer(0))
    with pytest.raises(requests.exceptions.ConnectionError):
        client.sys.read_leader_status()
    stub.answer("sys/leader", Answer(200, after_s=1))
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{stub.address}/v1/sys/leader", verify=str(stub.ca_file), timeout=0.1)


def test_after_stop_nobody_answers(tmp_path: Path) -> None:
    stub = VaultStub(tmp_path).start()
    address = stub.address
    stub.stop()
    stub.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(address, timeout=1)
