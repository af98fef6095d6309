"""The command line as people and scripts meet it: what it says, and what it ends with. Vault is never reached here."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.command_line import main
from gateway.person import person
from runbooks.catalogue import catalogue
from runbooks.consent import Door, Origin
from runbooks.plan import Plan
from store import approvals, outbox, targets
from store.database import Database, database
from store.settings import settings
from tests.store import store_cases as cases


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNBOOK_ENV_FILE", "/dev/null")
    monkeypatch.setenv("RUNBOOK_STORE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("RUNBOOK_CREDENTIALS_CACHE", str(tmp_path / "channels.lkg"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    settings.cache_clear()
    database.cache_clear()
    yield
    database().close()
    settings.cache_clear()
    database.cache_clear()


@pytest.fixture
def db() -> Database:
    return database()


def shown(db: Database, requester: str = "somebody-else") -> Plan[cases.TurnScrew]:
    """A plan of unseal-vault that is shown in the store."""
    plan = replace(cases.plan(target="vault/hoodcloud"), runbook="unseal-vault")
    with db.write() as conn:
        origin = Origin("run-1", Door.COMMAND_LINE, requester, parameters=(("cluster", "hoodcloud"),))
        approvals.show(conn, plan.sheet(), origin)
    return plan


# A newcomer adds a case here: the words, the exit code, and the reference of the error.
WRONG: dict[str, tuple[Sequence[str], int, str]] = {
    "no such runbook": (["show", "unseal-volt"], 2, "unknown-runbook"),
    "a plan of no such runbook": (["plan", "unseal-volt"], 2, "unknown-runbook"),
    "a parameter that is none": (["plan", "unseal-vault", "--param", "clutser=x"], 2, "parameter-malformed"),
    "a parameter without a value": (["plan", "unseal-vault", "--param", "cluster"], 2, "parameter-malformed"),
    "the digest as a parameter": (["plan", "unseal-vault", "--param", "approve=x"], 2, "parameter-malformed"),
    "an empty target": (["plan", "unseal-vault", "--param", "cluster="], 2, "target-malformed"),
    "a cluster that is none": (["plan", "unseal-vault", "--param", "cluster=other"], 2, "unknown-cluster"),
    "a digest that is not hex": (["approve", "give it to me"], 2, "digest-malformed"),
    "a digest that is too short": (["approve", "abc123"], 2, "digest-malformed"),
    "a digest that nobody was shown": (["approve", "0123456789ab"], 2, "digest-unknown"),
    "a refusal of what nobody was shown": (["refuse", "0123456789ab"], 2, "digest-unknown"),
    "glass without a reason": (["break-glass", "unseal-vault", "--reason", "  "], 2, "reason-missing"),
    "a share for a cluster that is none": (["give-share", "--cluster", "other"], 2, "unknown-cluster"),
    "a journal head that is none": (["audit", "verify", "--head", "zz"], 2, "head-malformed"),
    "a letter that is none": (["deliver", "--resend", "nothing"], 2, "letter-unknown"),
    "a letter to drop that is none": (["deliver", "--drop", "nothing"], 2, "letter-unknown"),
}


@pytest.mark.parametrize("words", [["status"], ["deliver"], ["audit", "verify"]], ids=str)
def test_what_only_reads_makes_no_store(
    words: Sequence[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(words) == 2
    assert "ref:  store-missing" in capsys.readouterr().err
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_three_lines_and_an_exit_code(capsys: pytest.CaptureFixture[str], case: str) -> None:
    words, code, reference = WRONG[case]
    database()  # a store is there
    assert main(words) == code
    said = capsys.readouterr().err.strip().split("\n")
    assert len(said) == 3
    assert said[0].startswith("runbook: ")
    assert said[2] == f"  ref:  {reference}"
    if "--json" in words or words[0] == "give-share":
        return
    assert main([*words, "--json"]) == code
    error = json.loads(capsys.readouterr().err)
    assert (error["reference"], error["exit_code"]) == (reference, code)
    assert error["next"]


@pytest.mark.parametrize(
    "words", [[], ["unseal"], ["plan"], ["approve"], ["audit", "everything"], ["deliver", "--at-most", "x"]]
)
def test_words_that_make_no_command_end_with_2(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: runbook" in capsys.readouterr().err


def test_what_there_is_can_be_read_without_a_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["list", "--json"]) == 0
    assert [book["name"] for book in json.loads(capsys.readouterr().out)] == sorted(catalogue())
    assert main(["show", "unseal-vault"]) == 0
    page = capsys.readouterr().out
    assert "## someone-else-is-unsealing" in page
    assert "Which Vault cluster" in page
    assert main(["show", "unseal-vault", "--json"]) == 0
    assert {"cluster", "approve", "reason"} == {
        one["parameter"] for one in json.loads(capsys.readouterr().out)["parameters"]
    }
    assert not (tmp_path / "store.db").exists()


def test_a_vote_is_kept_and_nothing_is_started_when_prefect_does_not_answer(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = shown(db).digest
    assert main(["approve", digest]) == 6
    said = capsys.readouterr().err
    assert "nothing was started; your vote is kept" in said
    assert f"runbook break-glass unseal-vault --param cluster=hoodcloud --approve {digest}" in said
    (plan,) = approvals.open_plans(db)
    assert [(vote.person, vote.agrees) for vote in plan.votes] == [(person(), True)]


def test_two_people_are_two_people(
    db: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_POLICIES", '{"unseal-vault": {"approvals": 2, "typed_digest_counts": false}}')
    settings.cache_clear()
    digest = shown(db).digest
    for _ in range(2):
        assert main(["approve", digest, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["started"] is False
        assert "1 of 2 approvals" in said["why"]
    approvals.vote(db, digest, "bob", Door.COMMAND_LINE, agrees=True)
    assert main(["approve", digest, "--no-start"]) == 0
    assert "not started, as you asked" in capsys.readouterr().out


def test_a_refusal_shows_in_the_status_and_stops_an_approval(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    digest = shown(db).digest
    approvals.vote(db, digest, "bob", Door.SLACK, agrees=False)
    assert main(["approve", digest]) == 4
    assert "plan-vetoed" in capsys.readouterr().err
    assert main(["status"]) == 0
    status = capsys.readouterr().out
    assert digest in status
    assert "bob" in status and "REFUSES" in status
    assert "nothing is held" in status


def test_the_user_is_who_logged_in_and_not_who_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = person()
    for name in ("USER", "LOGNAME", "SUDO_USER", "USERNAME"):
        monkeypatch.setenv(name, "alice")
    assert person() == honest != "alice"


def test_the_status_says_who_holds_what(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    origin = Origin("run-1", Door.PREFECT_UI, link="http://ui/runs/1")
    with targets.hold(db, target="vault/hoodcloud", runbook="unseal-vault", origin=origin, stale_s=30):
        assert main(["status", "--json"]) == 0
    (held,) = json.loads(capsys.readouterr().out)["held"]
    assert (held["target"], held["runbook"], held["run"]) == ("vault/hoodcloud", "unseal-vault", "http://ui/runs/1")


def test_a_journal_that_was_changed_is_found(db: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown(db)
    assert main(["audit", "verify", "--json"]) == 0
    head = json.loads(capsys.readouterr().out)["head"]
    assert main(["audit", "verify", "--head", head[:12]]) == 0
    assert main(["audit", "verify", "--head", "0123456789ab"]) == 7
    capsys.readouterr()
    with sqlite3.connect(tmp_path / "store.db") as file:
        file.execute("UPDATE journal SET data = replace(data, 'somebody-else', 'alice') WHERE seq = 1")
    assert main(["audit", "verify"]) == 7
    assert "tampered with or damaged" in capsys.readouterr().out


def test_what_nobody_can_be_told_by_is_left_out_and_said(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with db.write() as conn:
        outbox.enqueue(conn, cases.outcome(), dedup="one")
    assert main(["deliver", "--at-most", "5", "--json"]) == 0
    assert {row["channel"]: row["skipped"] for row in json.loads(capsys.readouterr().out)} == dict.fromkeys(
        outbox.CHANNELS, "1"
    )
    assert main(["status", "--json"]) == 0
    left_out = json.loads(capsys.readouterr().out)["undelivered"]
    assert {(one["channel"], one["status"]) for one in left_out} == {(name, "skipped") for name in outbox.CHANNELS}


def test_a_dead_letter_is_listed_resent_and_let_go(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with db.write() as conn:
        letter_id = outbox.enqueue(conn, cases.outcome(), dedup="one")
    assert letter_id is not None
    letter = outbox.claim(db, "slack", lease_s=5)
    assert letter is not None
    outbox.dead(db, letter, "slack said no_service")
    assert main(["deliver", "--dead"]) == 7
    listed = capsys.readouterr().out
    assert letter_id in listed and "no_service" in listed
    assert main(["deliver", "--dead", "--drop", letter_id]) in (0, 6)
    assert outbox.dead_letters(db) == ()
