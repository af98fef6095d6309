"""`python -m lab`: as a person uses it, with two terminals."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import __main__ as lab
from lab.control import ask, is_served, serve
from lab.dirty_cases import CASES
from lab.migrated import USUAL, MigratedDatabases
from lab.migrating import Migrate
from lab.postgres import Postgres
from lab.processes import processes_of
from lab.s3 import S3
from lab.world import BREAKAGES, World
from runbooks.errors import BadRequest
from store.settings import load

ROOT = Path(__file__).parents[2]


def terminal(*words: str) -> subprocess.CompletedProcess[str]:
    """What a second terminal shows."""
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`lab up`, as soon as it says that it is up."""
    command = [sys.executable, "-m", "lab", "up", "--ui-port", "0", "--folder", str(tmp_path / "lab")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        for line in process.stdout:
            if "Ctrl-C stops everything" in line:
                break
        yield process
        process.kill()
    for _ in range(200):
        if not processes_of(tmp_path):
            break
        time.sleep(0.05)
    assert processes_of(tmp_path) == {}


@pytest.mark.long
def test_broken_from_a_second_terminal_and_gone_after_ctrl_c(up: subprocess.Popen[str], tmp_path: Path) -> None:
    folder = ("--folder", str(tmp_path / "lab"))
    status = terminal("status", *folder).stdout
    assert (status.count("active"), status.count("standby"), status.count("SEALED")) == (1, 2, 0)
    assert terminal("break", "vault", *folder).stdout.count("SEALED") == 3
    assert "no migration was broken" in terminal("cure", *folder).stderr
    second = terminal("up", *folder)
    assert (second.returncode, "a lab is up in" in second.stderr) == (2, True)
    settings = tmp_path / "lab" / "runbook.env"
    assert oct(settings.stat().st_mode & 0o777) == "0o600"
    read = load(str(settings))
    assert (len(read.cluster("hoodcloud").nodes), read.cluster("hoodcloud").custody) == (3, "kept")
    assert read.ui_url in status
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert processes_of(tmp_path) == {}
    assert terminal("status", *folder).returncode == 2


@pytest.mark.long
def test_nothing_is_left_after_kill_9(up: subprocess.Popen[str], tmp_path: Path) -> None:
    assert len(processes_of(tmp_path)) > 10
    up.kill()


def test_a_folder_that_is_not_a_labs_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    done = terminal("up", "--folder", str(tmp_path))
    assert (done.returncode, "files that are not a lab's" in done.stderr) == (2, True)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_a_lab_one_is_told_how_to_start_it(tmp_path: Path) -> None:
    done = terminal("break", "vault", "--folder", str(tmp_path))
    assert (done.returncode, "lab up --folder" in done.stderr) == (2, True)


def test_while_it_starts_nothing_is_broken_and_nobody_else_starts(tmp_path: Path) -> None:
    world = World(tmp_path)
    with serve(tmp_path, lambda words: lab.answer(world, words, threading.Lock())):
        assert is_served(tmp_path)
        with pytest.raises(BadRequest, match="still starting"):
            ask(tmp_path, "break vault")
    assert not is_served(tmp_path)


def test_the_control_socket_is_its_owners_and_works_however_deep_the_folder_is(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deep" * 10] * 5)
    folder.mkdir(parents=True)
    with serve(folder, str.upper):
        assert [ask(folder, "one"), ask(folder, "two")] == ["ONE", "TWO"]
        assert oct((folder / "control").stat().st_mode & 0o777) == "0o600"


@pytest.fixture(scope="module")
def migrated(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MigratedDatabases]:
    """HoodCloud's two databases, as `lab up` has them."""
    folder = tmp_path_factory.mktemp("lab")
    with S3(folder / "s3") as s3:
        found = MigratedDatabases(folder / "migrated", postgres, s3)
        found.start()
        yield found
        found.close()
        for database in found.known.values():
            found.databases.drop(database)


def version(migrated: MigratedDatabases) -> tuple[tuple[int, bool], ...] | None:
    assert migrated.broken
    return migrated.broken[1].version_rows()


def deploy_again(migrated: MigratedDatabases) -> subprocess.CompletedProcess[str]:
    place = migrated.folder / "control-plane"
    return subprocess.run([place / "migrate", "up"], cwd=place, capture_output=True, text=True, check=False)


def test_a_broken_migration_is_cured_once_it_is_mended_and_deployed_again(migrated: MigratedDatabases) -> None:
    said = migrated.break_(USUAL)
    files = migrated.folder / "control-plane" / "migrations"
    assert str(files) in said
    before = {file: file.read_bytes() for file in files.iterdir()}
    with pytest.raises(BadRequest) as refused:
        migrated.check_curable()
    assert refused.value.reference == "still-dirty"
    assert {file: file.read_bytes() for file in files.iterdir()} == before
    assert "Dirty database version 41" in deploy_again(migrated).stderr
    assert migrated.broken
    bed = migrated.broken[1]
    bed.sql("DROP TABLE IF EXISTS zones CASCADE; ALTER TABLE nodes DROP COLUMN IF EXISTS zone")
    with Migrate(bed.settings) as run:
        run.force(40)
    migrated.check_curable()
    assert "run-migrations --param database=control-plane" in migrated.cure()
    assert (migrated.folder / "control-plane" / "SHA256SUMS").read_text().count("\n") == len(before)
    done = deploy_again(migrated)
    assert (done.returncode, version(migrated)) == (0, ((41, False),)), done.stderr


def test_a_cure_that_is_a_way_of_running_it_reaches_the_program(migrated: MigratedDatabases) -> None:
    migrated.break_("multi-cuts-a-function")
    assert "MIGRATE_MULTI_STATEMENT=true" in (migrated.folder / "control-plane" / ".env").read_text()
    migrated.cure()
    assert "MIGRATE_MULTI_STATEMENT=false" in (migrated.folder / "control-plane" / ".env").read_text()


def test_what_no_file_can_cure_is_not_cured(migrated: MigratedDatabases) -> None:
    migrated.close()
    with pytest.raises(BadRequest) as refused:
        migrated.check_curable()
    assert refused.value.reference == "nothing-broken"
    migrated.break_("rows-inserted")
    with pytest.raises(BadRequest) as refused:
        migrated.check_curable()
    assert refused.value.reference == "no-cure"


def test_the_list_of_cases_says_for_each_whether_it_can_be_mended() -> None:
    lines = {line.split()[0]: line.split()[2] for line in lab.cases().splitlines()}
    assert set(lines) == set(CASES)
    assert {lines[USUAL], lines["rows-inserted"], lines["clean"]} == {"mended", "refused", "well"}
    assert [name for name, end in lines.items() if (end == "mended") != CASES[name].mended] == []


def test_an_unknown_breakage_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="vault") as refused:
        World(tmp_path).break_("the bank")
    assert refused.value.reference == "unknown-breakage"
    assert "vault" in BREAKAGES
