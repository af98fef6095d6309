"""The program that holds the shares, against a real Vault and against one that plays old and odd ones."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.vault import VaultCluster
from lab.vault_stub import WRONG_KEY, WRONG_KEY_BEFORE_1_13, Answer, VaultStub, seal_status

PROGRAM = [sys.executable, "-I", "-m", "tasks.shares"]


@contextmanager
def program(job: dict[str, Any], **more: Any) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    ) as running:
        assert running.stdin is not None
        running.stdin.write(json.dumps({"parent": os.getpid(), "joins": False, **job}) + "\n")
        running.stdin.flush()
        try:
            yield running
        finally:
            running.kill()


def answer(running: "subprocess.Popen[str]") -> dict[str, Any]:
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line, running.stderr.read() if running.stderr else ""
    said: dict[str, Any] = json.loads(line)
    return said


def go_on(running: "subprocess.Popen[str]") -> None:
    assert running.stdin is not None
    running.stdin.write("go on\n")
    running.stdin.flush()


def to_the_end(job: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[str]]:
    """The last answer, and every nonce on the way."""
    nonces = []
    with program(job, **more) as running:
        while "ended" not in (said := answer(running)):
            nonces.append(said["nonce"])
            go_on(running)
    return said, nonces


def job_for(vault: VaultCluster, references: list[str]) -> dict[str, Any]:
    return {
        "do": "give",
        "address": vault.address,
        "ca_file": str(vault.ca_file),
        "threshold": vault.threshold,
        "references": references,
    }


def put(folder: Path, name: str, text: str, mode: int = 0o400) -> str:
    file = folder / name
    file.write_text(text)
    file.chmod(mode)
    return f"file:{file}"


def status(vault: VaultCluster) -> dict[str, Any]:
    found: dict[str, Any] = vault.client().sys.read_seal_status()
    return found


@pytest.fixture
def good(sealed: VaultCluster) -> list[str]:
    return [f"file:{file}" for file in sealed.share_files]


def test_three_good_shares_unseal(sealed: VaultCluster, good: list[str]) -> None:
    said, nonces = to_the_end(job_for(sealed, good[:3]))
    assert (said["ended"], said["up"], said["tries"], said["wrong"]) == ("given", True, 1, [])
    assert len(nonces) == 2
    assert len(set(nonces)) == 1
    assert not status(sealed)["sealed"]


def test_an_unsealed_node_is_given_nothing(sealed: VaultCluster, good: list[str]) -> None:
    sealed.unseal()
    said, nonces = to_the_end(job_for(sealed, good))
    assert (said["ended"], said["tries"], nonces) == ("given", 0, [])


WRONG_32 = "ab" * 33


def test_a_wrong_share_is_found_out_and_named_by_its_fingerprint(
    sealed: VaultCluster, good: list[str], tmp_path: Path
) -> None:
    wrong = put(tmp_path, "wrong", WRONG_32)
    said, _ = to_the_end(job_for(sealed, [good[0], wrong, good[1], good[2]]))
    assert said["ended"] == "given"
    assert said["tries"] > 1
    assert len(said["wrong"]) == 1
    assert said["wrong"][0].startswith(wrong)
    assert not status(sealed)["sealed"]


def test_two_wrong_shares_of_five(sealed: VaultCluster, good: list[str], tmp_path: Path) -> None:
    foreign = [put(tmp_path, "one", WRONG_32), put(tmp_path, "two", "cd" * 33)]
    said, _ = to_the_end(job_for(sealed, [*foreign, *good[:3]]))
    assert said["ended"] == "given"
    assert not status(sealed)["sealed"]


def test_shares_of_another_vault_leave_nothing_behind(sealed: VaultCluster, tmp_path: Path) -> None:
    with VaultCluster(tmp_path / "foreign", nodes=1) as foreign:
        foreign.initialise()
    said, _ = to_the_end(job_for(sealed, [f"file:{file}" for file in foreign.share_files]))
    assert said["ended"] == "shares-rejected"
    assert "10 sets were tried" in said["why"]
    found = status(sealed)
    assert (found["sealed"], found["progress"]) == (True, 0)


# A newcomer adds a case here: how the first of three shares is spoiled, and what is said of it.
SPOILED = {
    "too short": ("abcd", 0o400, "is malformed: 2 bytes"),
    "too long": ("ab" * 40, 0o400, "is malformed: 40 bytes"),
    "neither hex nor base64": ("not a share!", 0o400, "is malformed: neither hex nor base64"),
    "empty": ("", 0o400, "is malformed"),
    "readable by others": ("ab" * 33, 0o444, "has mode 0444, must be 0400"),
    "writable": ("ab" * 33, 0o600, "has mode 0600, must be 0400"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_share_is_named_and_nothing_is_given_when_too_few_are_left(
    sealed: VaultCluster, good: list[str], tmp_path: Path, case: str
) -> None:
    text, mode, why = SPOILED[case]
    spoiled = put(tmp_path, "spoiled", text, mode)
    said, nonces = to_the_end(job_for(sealed, [spoiled, good[0], good[1]]))
    assert said["ended"] == "shares-missing"
    assert f"{spoiled} {why}" in said["why"]
    assert nonces == []
    assert status(sealed)["progress"] == 0
    looked, _ = to_the_end({"do": "look", "references": [spoiled, good[0]]})
    assert [bool(share["trouble"]) for share in looked["shares"]] == [True, False]


@pytest.mark.parametrize(
    "reference",
    ["file:/nowhere/at/all", "file:/proc", "nonsense", "s3:bucket", "credential:none", "pgp:/none", "command:/none"],
)
def test_a_reference_that_opens_nothing_is_named(reference: str) -> None:
    looked, _ = to_the_end({"do": "look", "references": [reference]})
    assert looked["shares"][0]["trouble"]


def test_the_same_share_in_hex_and_base64_counts_once(sealed: VaultCluster, good: list[str], tmp_path: Path) -> None:
    again = put(tmp_path, "again", base64.b64encode(bytes.fromhex(sealed.keys.shares[0])).decode() + "\n")
    said, nonces = to_the_end(job_for(sealed, [good[0], again, good[1]]))
    assert said["ended"] == "shares-missing"
    assert f"{again} is the same share as {good[0]}" in said["why"]
    assert nonces == []
    assert to_the_end(job_for(sealed, [good[0], again, good[1], good[2]]))[0]["ended"] == "given"


def test_another_operator_who_starts_over_in_the_middle_is_noticed(sealed: VaultCluster, good: list[str]) -> None:
    with program(job_for(sealed, good[:3])) as running:
        assert answer(running)["progress"] == 1
        sealed.client().sys.submit_unseal_key(reset=True)
        go_on(running)
        said = answer(running)
    assert said["ended"] == "someone-else-is-unsealing"
    assert status(sealed)["sealed"]


def test_another_operator_who_helps_in_the_middle_is_told_of(sealed: VaultCluster, good: list[str]) -> None:
    with program(job_for(sealed, good[:3])) as running:
        assert answer(running)["progress"] == 1
        sealed.client().sys.submit_unseal_key(sealed.keys.shares[4])
        go_on(running)
        said = answer(running)
    assert (said["ended"], said["up"], said["helped"]) == ("given", True, True)
    assert not status(sealed)["sealed"]


def test_another_operator_before_is_noticed_and_not_disturbed(sealed: VaultCluster, good: list[str]) -> None:
    sealed.client().sys.submit_unseal_key(sealed.keys.shares[4])
    before = status(sealed)
    said, nonces = to_the_end(job_for(sealed, good[:3]))
    assert (said["ended"], nonces) == ("someone-else-is-unsealing", [])
    assert status(sealed) == before


def test_it_stops_when_it_is_not_told_to_go_on(sealed: VaultCluster, good: list[str]) -> None:
    with program(job_for(sealed, good[:3])) as running:
        answer(running)
        assert running.stdin is not None
        running.stdin.close()
        assert answer(running)["ended"] == "turn-lost"
    assert status(sealed)["progress"] == 1


def test_no_share_goes_to_a_server_with_another_certificate(
    sealed: VaultCluster, good: list[str], tmp_path: Path
) -> None:
    with VaultStub(tmp_path / "stranger") as stranger:
        job = {**job_for(sealed, good[:3]), "address": stranger.address}
        said, _ = to_the_end(job)
        assert said["ended"] == "untrusted-certificate"
        assert [asked for asked in stranger.asked if "unseal" in asked.path] == []


@pytest.mark.parametrize("wrong", [WRONG_KEY, WRONG_KEY_BEFORE_1_13], ids=["400", "500 of Vault before 1.13"])
def test_both_ways_of_saying_wrong_share_are_understood(good: list[str], tmp_path: Path, wrong: Answer) -> None:
    with VaultStub(tmp_path / "stub") as stub:
        stub.answer("sys/seal-status", Answer(200, seal_status()))
        one, two = (Answer(200, seal_status(progress=number, nonce="n")) for number in (1, 2))
        stub.answer("sys/unseal", one, two, wrong, one, two, Answer(200, seal_status(sealed=False)))
        job = {
            "do": "give",
            "address": stub.address,
            "ca_file": str(stub.ca_file),
            "threshold": 3,
            "references": good[:4],
        }
        said, _ = to_the_end(job)
    assert (said["ended"], said["tries"]) == ("given", 2)


def test_a_first_raft_join_is_waited_for_and_its_shares_are_not_given_again(good: list[str], tmp_path: Path) -> None:
    with VaultStub(tmp_path / "stub") as stub:
        stub.answer("sys/seal-status", Answer(200, seal_status()))
        one, two = (Answer(200, seal_status(progress=number, nonce="n")) for number in (1, 2))
        stub.answer("sys/unseal", one, two, Answer(200, seal_status(progress=0, nonce="")))
        job = {"do": "give", "address": stub.address, "ca_file": str(stub.ca_file), "threshold": 3, "references": good}
        said, _ = to_the_end(job)
        given = [asked for asked in stub.asked if "unseal" in asked.path]
    assert (said["ended"], said["up"], len(given)) == ("given", False, 3)


def test_a_share_behind_a_command_and_a_systemd_credential(
    sealed: VaultCluster, good: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "give"
    script.write_text(f"#!/bin/sh\ncat {sealed.share_files[1]}\n")
    script.chmod(0o500)
    put(tmp_path, "third", sealed.keys.shares_base64[2])
    references = [good[0], f"command:{script}", "credential:third"]
    said, _ = to_the_end(job_for(sealed, references), env={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert said["ended"] == "given"


def test_a_look_runs_no_command(tmp_path: Path) -> None:
    script = tmp_path / "give"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    script.chmod(0o500)
    looked, _ = to_the_end({"do": "look", "references": [f"command:{script}"]})
    assert looked["shares"][0]["trouble"] == ""
    assert not (tmp_path / "was-run").exists()


@pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg on this machine: shares under PGP were left out")
def test_a_share_under_pgp(sealed: VaultCluster, good: list[str], tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    environment = {**os.environ, "GNUPGHOME": str(home)}
    gpg = ["gpg", "--batch", "--quiet", "--trust-model", "always", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run(
        [*gpg, "--quick-generate-key", "holder@example.test", "default", "default", "never"],
        env=environment,
        check=True,
        capture_output=True,
    )
    try:
        message = subprocess.run(
            [*gpg, "--recipient", "holder@example.test", "--encrypt"],
            input=sealed.keys.shares[0].encode(), env=environment, check=True, capture_output=True,
        ).stdout  # fmt: skip
        (tmp_path / "one.pgp").write_text(base64.b64encode(message).decode())
        said, _ = to_the_end(job_for(sealed, [f"pgp:{tmp_path / 'one.pgp'}", *good[1:3]]), env=environment)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True)
    assert said["ended"] == "given"


def test_it_dumps_no_core_has_no_share_among_its_arguments_and_dies_with_its_parent(
    sealed: VaultCluster, good: list[str]
) -> None:
    start = (
        "import json, os, subprocess, sys\n"
        f"child = subprocess.Popen({PROGRAM!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "job = json.loads(sys.argv[1]) | {'parent': os.getpid(), 'joins': False}\n"
        "child.stdin.write(json.dumps(job) + '\\n'); child.stdin.flush()\n"
        "print(child.pid, child.stdout.readline().strip(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    job = json.dumps(job_for(sealed, good[:3]))
    with subprocess.Popen(
        [sys.executable, "-c", start, job], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, first = parent.stdout.readline().split(" ", 1)
        assert json.loads(first)["progress"] == 1
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4] == "0"
        assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:4] == [part.encode() for part in PROGRAM]
        child = os.pidfd_open(int(pid))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert select.select([child], [], [], 5)[0], "it outlived its parent"
        os.close(child)
    assert status(sealed)["progress"] == 1


def test_its_memory_is_closed_to_other_processes_of_its_user() -> None:
    code = (
        "import ctypes, os\n"
        "from tasks.shares.hardening import harden\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"  # dumpable, as any process is that was not started with other rights
        "before = os.stat('/proc/self/mem').st_uid\n"
        "harden()\n"
        "print(before == os.getuid(), os.stat('/proc/self/mem').st_uid)"
    )
    # what is not dumpable belongs to root under /proc (proc(5)), so no process of this user may read it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0"]
