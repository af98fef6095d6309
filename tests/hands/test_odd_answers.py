"""Servers that are no Vault, drip, or are reset in the middle: none of them stops the repair of the others."""

import itertools
import json
import os
import pty
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keys import approle
from lab.certificates import Authority
from lab.vault_stub import WRONG_KEY, Answer, VaultStub, seal_status
from runbooks.errors import StepFailed
from runbooks.sealed_vault_facts import State
from tasks.shares import attempt
from tasks.shares.attempt import NodeApi, Stopped
from tasks.shares.sources import OpenShare
from tasks.vault import look
from tasks.vault import program as programs
from tests.hands.test_shares import PROGRAM, put, to_the_end

NO_VAULT = "not as a Vault does"
NO_SEALED = {name: value for name, value in seal_status().items() if name != "sealed"}

# A newcomer adds a case here: what a trusted server says instead of a seal-status.
NO_SEAL_STATUS: dict[str, Any] = {
    "a list": [1, 2],
    "a word": "sealed",
    "null": None,
    "no sealed": NO_SEALED,
    "t is null": seal_status(t=None),
    "t is true": seal_status(t=True),
    "t is a text": seal_status(t="3"),
    "progress is negative": seal_status(progress=-1),
    "sealed is a text": seal_status(sealed="false"),
    "type is a number": seal_status(type=1),
    "nonce is two words": seal_status(nonce="a 1"),
    "nonce moves the cursor": seal_status(nonce="\x1b[2J"),
    "version is null": seal_status(version=None),
}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultStub]:
    with VaultStub(tmp_path_factory.mktemp("stub")) as running:
        yield running


@pytest.fixture
def shares(tmp_path: Path) -> list[str]:
    return [put(tmp_path, f"share-{number}", f"{number:02x}" * 33) for number in range(1, 6)]


def seen_at(address: str, ca_file: Path) -> tuple[State, str]:
    client = approle.client(address, ca_file, timeout_s=look.DEAD_S)
    node = look.look_at_node("vault-1", address, client)
    client.adapter.close()
    return node.state, node.detail


def give(stub: VaultStub, references: list[str], *unseal: Answer, **more: Any) -> dict[str, Any]:
    """How the program ends on a stub that answers `unseal`; keys of `more` go into the job."""
    stub.asked.clear()
    stub.answer("sys/seal-status", Answer(200, more.pop("status", seal_status())))
    stub.answer("sys/unseal", *unseal)
    job = {"do": "give", "address": stub.address, "ca_file": str(stub.ca_file), "threshold": 3}
    return to_the_end({**job, "references": references, **more})[0]


def given(stub: VaultStub) -> list[str]:
    return [asked.body["key"][:2] for asked in stub.asked if asked.path == "sys/unseal"]


def counted(*progress: int) -> list[Answer]:
    return [Answer(200, seal_status(progress=number, nonce="n")) for number in progress]


OPEN = Answer(200, seal_status(sealed=False))


@pytest.mark.parametrize("case", NO_SEAL_STATUS)
def test_what_is_no_seal_status_is_no_vault(stub: VaultStub, shares: list[str], case: str) -> None:
    said = give(stub, shares, *counted(1), status=NO_SEAL_STATUS[case])
    assert (said["ended"], NO_VAULT in said["why"], given(stub)) == ("unreachable", True, [])
    stub.answer("sys/health", Answer(503))
    state, detail = seen_at(stub.address, stub.ca_file)
    assert (state, NO_VAULT in detail) == (State.UNREACHABLE, True)


@pytest.mark.parametrize("case", NO_SEAL_STATUS)
def test_what_is_no_answer_to_a_share_stops_after_it(stub: VaultStub, shares: list[str], case: str) -> None:
    said = give(stub, shares, Answer(200, NO_SEAL_STATUS[case]))
    assert (said["ended"], len(given(stub))) == ("unreachable", 1)


@pytest.mark.parametrize("errors", [None, 7, ["a\nb"], {"a": 1}], ids=str)
def test_an_error_of_any_form_is_no_traceback(stub: VaultStub, shares: list[str], errors: Any) -> None:
    said = give(stub, shares, Answer(400, {"errors": errors}))
    assert (said["ended"], said["why"].isprintable()) == ("unreachable", True)
    stub.answer("sys/seal-status", Answer(500, {"errors": errors}))
    assert seen_at(stub.address, stub.ca_file)[0] is State.UNREACHABLE


@contextmanager
def raw_server(folder: Path, said: bytes, *, pause_s: float) -> Iterator[tuple[str, Path]]:
    """Under a trusted certificate: says `said` byte by byte, and once more and again if there is a pause between."""
    folder.mkdir()
    authority = Authority(folder / "ca.pem")
    authority.issue(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    over = threading.Event()

    def serve(plain: socket.socket) -> None:
        try:
            with tls.wrap_socket(plain, server_side=True) as client:
                client.recv(4096)
                for byte in itertools.cycle(said) if pause_s else ():
                    client.sendall(bytes([byte]))
                    if over.wait(pause_s):
                        return
                client.sendall(said)
        except OSError:
            pass  # the client hung up

    def accept() -> None:
        while not over.is_set():
            try:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}", authority.ca_file
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"


def test_a_web_page_is_no_vault(tmp_path: Path) -> None:
    with raw_server(tmp_path / "web", HTML, pause_s=0) as (address, ca_file):
        assert seen_at(address, ca_file) == (State.UNREACHABLE, look.NO_VAULT)
        with pytest.raises(Stopped, match=NO_VAULT):
            NodeApi(address, str(ca_file)).status()


def test_a_server_that_drips_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "LOOK_S", 0.4)
    monkeypatch.setattr(attempt, "ANSWER_S", 0.4)
    with raw_server(tmp_path / "drip", HTML, pause_s=0.05) as (address, ca_file):
        client = approle.client(address, ca_file, timeout_s=look.DEAD_S)
        threads, began = threading.active_count(), time.monotonic()
        nodes = [look.look_at_node("vault-1", address, client) for _ in range(3)]
        assert {(node.state, node.detail) for node in nodes} == {(State.UNREACHABLE, "no answer within 2 s")}
        assert threading.active_count() <= threads + 2, "each look at it left a thread (one is the server's)"
        with pytest.raises(Stopped, match=r"no answer within 0\.4 s"):
            NodeApi(address, str(ca_file)).status()
        assert time.monotonic() - began < 4


def test_a_tls_handshake_that_never_ends_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, stub: VaultStub) -> None:
    monkeypatch.setattr(attempt, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Stopped, match=r"no answer within 0\.3 s"):
        NodeApi(f"https://127.0.0.1:{silent.getsockname()[1]}", str(stub.ca_file)).status()


def test_a_program_that_says_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SILENT_S", 0.2)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as silent:
        with pytest.raises(StepFailed, match=r"no answer for 0\.2 s and was killed") as failed:
            programs.answer_of(silent)
        assert failed.value.reference == "shares-program-died"
        programs.tell(silent, "go on")  # nobody reads it; that is for the next answer to say


def test_a_reset_before_our_last_share_is_noticed(stub: VaultStub, shares: list[str]) -> None:
    said = give(stub, shares, *counted(1, 2, 1))
    assert (said["ended"], len(given(stub))) == ("someone-else-is-unsealing", 3)


# A newcomer adds a case here: the seal-status before, the answer to the share, what the holder reads, the exit code.
HOLDER: dict[str, tuple[dict[str, Any], dict[str, Any], str, int]] = {
    "twice, at the last but one": ({"progress": 2, "nonce": "n"}, {"progress": 2, "nonce": "n"}, "already had", 0),
    "the last of a join": ({"progress": 2, "nonce": "n"}, {"progress": 0}, "is coming up", 0),
    "the last": ({"progress": 2, "nonce": "n"}, {"sealed": False}, "is unsealed", 0),
    "after a reset": ({"progress": 1, "nonce": "n"}, {"progress": 1, "nonce": "m"}, "has 1 of 3 shares", 0),
    "in a seal migration": ({"migration": True}, {}, "is in a seal migration; it was given nothing", 3),
    "not for shares": ({"type": "awskms"}, {}, "seal of type awskms; shares cannot help; it was given nothing", 3),
    "no Vault": ({"sealed": None}, {}, NO_VAULT, 6),
}


def holder(stub: VaultStub) -> list[str]:
    return [*PROGRAM, "holder", json.dumps({"nodes": {"vault-1": stub.address}, "ca_file": str(stub.ca_file)})]


@pytest.mark.parametrize("case", HOLDER)
def test_what_a_holder_reads(stub: VaultStub, case: str) -> None:
    before, after, words, code = HOLDER[case]
    stub.asked.clear()
    stub.answer("sys/seal-status", Answer(200, seal_status(**before)))
    stub.answer("sys/unseal", Answer(200, seal_status(**after)))
    ended = subprocess.run(holder(stub), input="ab" * 33, capture_output=True, text=True, check=False)
    assert (words in ended.stdout, ended.returncode) == (True, code), ended
    assert len(given(stub)) == (code == 0)
    assert f"your share goes to vault-1 {stub.address} (CA " in ended.stderr


@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_holder_may_leave_at_the_question(stub: VaultStub, key: bytes) -> None:
    stub.asked.clear()
    terminal, theirs = pty.openpty()
    with subprocess.Popen(["setsid", "--ctty", *holder(stub)], stdin=theirs, stdout=theirs, stderr=theirs) as asking:
        os.close(theirs)
        shown = b""
        while b"not shown" not in shown:
            assert select.select([terminal], [], [], 10)[0], shown
            shown += os.read(terminal, 4096)
        os.write(terminal, key)
        code = asking.wait(10)
        shown += os.read(terminal, 4096)
    os.close(terminal)
    assert (code, stub.asked) == (130, [])
    assert b"stopped; nothing was sent" in shown and b"Traceback" not in shown


def tries(good: set[int], count: int, threshold: int) -> int | None:
    shares = [OpenShare(str(number), bytes([number])) for number in range(count)]
    for number, some in enumerate(attempt._in_order(shares, threshold, (), only=False), 1):
        if {int(share.reference) for share in some} <= good:
            return number
    return None


# A newcomer adds a case here: shares, how many are needed, how many are wrong, and the most sets that may take.
@pytest.mark.parametrize(("count", "threshold", "wrong", "most"), [(5, 3, 2, 10), (13, 7, 1, 8), (13, 7, 3, 300)])
def test_wherever_the_wrong_shares_are_a_good_set_is_early(count: int, threshold: int, wrong: int, most: int) -> None:
    for bad in itertools.combinations(range(count), wrong):
        found = tries(set(range(count)) - set(bad), count, threshold)
        assert found is not None and found <= most, bad


@pytest.mark.parametrize(("count", "threshold"), [(5, 3), (6, 2), (4, 4), (9, 1)])
def test_every_set_is_tried_once(count: int, threshold: int) -> None:
    shares = [OpenShare(str(number), bytes([number])) for number in range(count)]
    sets = list(map(frozenset, attempt._sets(shares, threshold)))
    assert len(sets) == len(set(sets)) == len(list(itertools.combinations(shares, threshold)))


def test_a_search_that_is_cut_off_says_so(stub: VaultStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "MOST_TRIES", 20)
    stub.answer("sys/seal-status", Answer(200, seal_status(t=7)))
    stub.answer("sys/unseal", WRONG_KEY)
    shares = [OpenShare(str(number), bytes([number])) for number in range(13)]
    node = NodeApi(stub.address, str(stub.ca_file))
    with pytest.raises(Stopped, match="gave up after 20 of 1716 sets"):
        attempt.give(node, shares, 7, lambda _nonce, _progress: True)
    node._connection.close()


def test_the_shares_that_opened_one_node_come_first_at_the_next(stub: VaultStub, shares: list[str]) -> None:
    said = give(stub, shares, WRONG_KEY, *counted(1, 2), OPEN)
    assert said["ended"] == "given"
    assert said["used_references"] == shares[1:4]
    again = give(stub, shares, *counted(1, 2), OPEN, first=said["used_references"])
    assert (again["used_references"], given(stub)) == (shares[1:4], ["02", "03", "04"])
    idle = give(stub, shares, status=seal_status(sealed=False), first=shares[1:4])
    assert idle["used_references"] == shares[1:4], "a node that was open already says nothing against them"


def test_a_set_that_opened_nothing_by_itself_is_not_told(stub: VaultStub, shares: list[str]) -> None:
    assert give(stub, shares, *counted(1), OPEN)["used_references"] == []
    assert give(stub, shares, *counted(1, 2, 0))["used_references"] == []


def test_a_joining_node_gets_only_the_set_that_opened_another(stub: VaultStub, shares: list[str]) -> None:
    said = give(stub, shares, *counted(1, 2), WRONG_KEY, first=shares[2:], joins=True)
    assert (said["ended"], given(stub)) == ("shares-rejected", ["03", "04", "05"])
    assert "restart the node" in said["why"]
    for unopened in (["file:/none", *shares[3:]], ["file:/none"]):
        said = give(stub, shares, *counted(1), first=unopened, joins=True)
        assert (said["ended"], given(stub)) == ("shares-missing", [])
