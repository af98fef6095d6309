"""Servers that will not do, or only half: a standby, a pooler, another version, a role that may too little, S3 away."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.dirty_cases import CASES, Broken, broken
from lab.hoodcloud_database import HoodcloudDatabases
from lab.postgres import Postgres
from lab.s3 import REGION, S3
from runbooks.dirty_migration import Finding
from tests.hands.migrations_bed import OTHERS, Debian
from tests.hands.test_login import PgBouncer
from tests.order.conftest import MEMORY
from tests.order.forked_runs import Forked
from tests.order.migrations_bed import (
    ask,
    environment,
    look,
    mend,
    nothing_left,
    seen,
    settings_of,
    settings_of_case,
    wait_until,
)


@pytest.fixture
def bed(migrated: HoodcloudDatabases, tmp_path: Path) -> Iterator[Broken]:
    with broken(CASES["typo"], migrated, tmp_path / "migrations") as made:
        yield made


def as_superuser(server: Postgres, folder: Path) -> dict[str, Any]:
    """A login of the superuser of `server`, its password in a file."""
    file = folder / "password-of-postgres"
    file.write_text(server.password)
    file.chmod(0o400)
    return {
        "host": "127.0.0.1",
        "port": server.ports[0],
        "user": "postgres",
        "sslmode": "disable",
        "password_file": str(file),
    }


@contextmanager
def standby_of(primary: Postgres, folder: Path) -> Iterator[Postgres]:
    """A hot standby, made by pg_basebackup, that has everything that the primary has now."""
    standby = Postgres(folder, password=primary.password)
    command = [primary.binaries / "pg_basebackup", "-D", standby.data, "-R", "--checkpoint=fast", "--no-sync"]
    login = ["-h", "127.0.0.1", "-p", str(primary.ports[0]), "-U", "postgres", "--no-password"]
    subprocess.run([*command, *login], env={"PGPASSWORD": primary.password}, check=True)
    subprocess.run(["chown", "-R", f"{primary.data.owner()}:", standby.data], check=True)
    ((newest,),) = ask(primary, "SELECT pg_current_wal_flush_lsn()")
    with standby:
        wait_until(
            lambda: ask(standby, f"SELECT pg_last_wal_replay_lsn() >= '{newest}'") == [(True,)], "it does not catch up"
        )
        yield standby


def test_a_hot_standby_is_named_and_let_alone(
    recover: Forked, migrated: HoodcloudDatabases, bed: Broken, tmp_path: Path
) -> None:
    folder = MEMORY / f"standby-{bed.database.dbname}" if MEMORY.is_dir() else tmp_path / "standby"
    try:
        with standby_of(migrated.server, folder) as standby:
            known = environment(tmp_path, settings_of(bed, tmp_path, port=standby.ports[0]))
            ended = look(recover, known)
            assert (ended.reference, "migration runs on the primary" in ended.error) == (Finding.HOT_STANDBY, True)
            nothing_left(standby)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_pgbouncer_is_named_and_nothing_is_asked_through_it(
    recover: Forked, migrated: HoodcloudDatabases, bed: Broken, tmp_path: Path
) -> None:
    if not shutil.which("pgbouncer"):
        pytest.skip("pgbouncer is not installed")
    before = seen(bed)
    with PgBouncer(tmp_path / "pgbouncer", migrated.server) as pooler:
        login = {**as_superuser(migrated.server, tmp_path), "port": pooler.ports[0]}
        ended = look(recover, environment(tmp_path, settings_of(bed, tmp_path, **login)))
        assert (ended.reference, "not PgBouncer" in ended.error) == (Finding.POOLED, True)
    assert seen(bed) == before
    nothing_left(migrated.server)


def test_a_role_that_may_not_make_databases(
    recover: Forked, migrated: HoodcloudDatabases, bed: Broken, tmp_path: Path
) -> None:
    before, user = seen(bed), bed.database.user
    bed.sql(f"ALTER ROLE {user} NOCREATEDB", superuser=True)
    try:
        ended = look(recover, environment(tmp_path, settings_of(bed, tmp_path)))
        assert ended.reference == Finding.NO_PERMISSION
        assert f'ALTER ROLE "{user}" CREATEDB, or set scratch to own-server' in ended.error
        own = environment(tmp_path, settings_of(bed, tmp_path, scratch="own-server"))
        assert look(recover, own).finding == Finding.ROLLED_BACK, "as it says"
    finally:
        bed.sql(f"ALTER ROLE {user} CREATEDB", superuser=True)
    assert seen(bed) == before
    nothing_left(migrated.server)


@pytest.mark.skipif(not OTHERS, reason="no PostgreSQL of another major version is installed")
def test_a_scratch_server_of_another_version(
    recover: Forked, migrated: HoodcloudDatabases, bed: Broken, tmp_path: Path
) -> None:
    before = seen(bed)
    with Debian(tmp_path / "other", OTHERS[0]) as other:
        settings = settings_of(bed, tmp_path, scratch=as_superuser(other, tmp_path))
        ended = look(recover, environment(tmp_path, settings))
        assert ended.reference == "scratch-version"
        nothing_left(other)
    assert seen(bed) == before
    nothing_left(migrated.server)


def test_a_scratch_server_that_is_away(
    recover: Forked, migrated: HoodcloudDatabases, bed: Broken, tmp_path: Path
) -> None:
    before, away = seen(bed), {**as_superuser(migrated.server, tmp_path), "port": 1}
    ended = look(recover, environment(tmp_path, settings_of(bed, tmp_path, scratch=away)))
    assert ended.reference == "scratch-unreachable"
    assert seen(bed) == before
    nothing_left(migrated.server)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with S3(tmp_path_factory.mktemp("s3")) as running:
        running.bucket("hoodcloud-backups")
        yield running


def to(s3: S3) -> dict[str, str]:
    """The settings of S3, with a key that the environment gives."""
    return {
        "RUNBOOK_S3_ENDPOINT": s3.address,
        "RUNBOOK_S3_REGION": REGION,
        "AWS_ACCESS_KEY_ID": s3.key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
    }


# A newcomer adds a case here: what S3 does, and where the backup is then.
NO_S3 = {"is well": False, "refuses": True, "is away": True, "has no such bucket": True}


@pytest.mark.parametrize("case", NO_S3)
def test_where_s3_will_not_do_the_backup_is_on_disk_and_that_is_told(
    recover: Forked, migrated: HoodcloudDatabases, bed: Broken, tmp_path: Path, s3: S3, case: str
) -> None:
    bucket = "hoodcloud-none" if case == "has no such bucket" else "hoodcloud-backups"
    settings = settings_of(bed, tmp_path, backup=f"s3://{bucket}/{bed.database.dbname}")
    more = {**to(s3), "RUNBOOK_S3_ENDPOINT": "http://127.0.0.1:1"} if case == "is away" else to(s3)
    known = environment(tmp_path, settings, **more)
    s3.refuse(refuses=case == "refuses")
    try:
        done = mend(recover, known)
    finally:
        s3.refuse(refuses=False)
    assert done.ending == "done", done.error
    (note, _) = done.notes
    on_disk = sorted(file.name for file in tmp_path.glob("backups/*"))
    in_s3 = sorted(s3.objects("hoodcloud-backups", bed.database.dbname))
    assert (len(on_disk), len(in_s3)) == ((2, 0) if NO_S3[case] else (0, 2))
    assert ("on this host's disk and not in S3" in note) == NO_S3[case]
    assert s3.secret not in json.dumps([done.error, done.printed, *done.notes])
    assert bed.version_rows() == ((40, False),)
    nothing_left(migrated.server)


def test_a_gap_that_is_known_is_none(recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path) -> None:
    case = CASES["numbers-with-holes"]
    with broken(case, migrated, tmp_path / "migrations") as made:
        unknown = environment(tmp_path, settings_of(made, tmp_path))
        refused = look(recover, unknown)
        assert (refused.reference, "no file has 41, 42, 43, 44" in refused.error) == (Finding.FILES_MISSING, True)
        done = mend(recover, environment(tmp_path, settings_of_case(case, made, tmp_path)))
        assert (done.ending, made.version_rows()) == ("done", ((40, False),)), done.error


def test_a_search_path_that_led_the_migrator_elsewhere(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    """The table that the settings name is clean, and every deployment stops at the other one."""
    with broken(CASES["clean-at-the-newest"], migrated, tmp_path / "migrations") as made:
        name, user = made.database.dbname, made.database.user
        made.sql(f"ALTER ROLE {user} IN DATABASE {name} SET search_path = audit, public", superuser=True)
        made.sql(f"GRANT ALL ON SCHEMA audit TO {user}", superuser=True)
        made.fails("already exists")
        before = seen(made)
        ended = look(recover, environment(tmp_path, settings_of(made, tmp_path)))
        assert (ended.ending, ended.finding) == ("nothing to do", Finding.CLEAN), ended.error
        assert "audit.schema_migrations is dirty at version 1" in ended.because
        there = environment(tmp_path, settings_of(made, tmp_path, version_schema="audit"))
        assert look(recover, there).reference == Finding.MIXED, "it is told from what is there"
        assert seen(made) == before
    nothing_left(migrated.server)
