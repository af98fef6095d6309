"""Backups: made, restored and compared; kept, streamed and swept; and none where it cannot be whole."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import pytest

from lab.postgres import Postgres, _package
from lab.s3 import S3
from runbooks.errors import Refused, StepFailed
from store.settings import Settings
from tasks.migrations import backup_s3, dump, programs
from tasks.migrations.backup import Made, Place, back_up, existing, restore
from tasks.migrations.login import Params

BINARIES = _package() / "pginstall" / "bin"
ODD = 'a "b".$1*?|(c)Ä'
SEED = f"""
CREATE SCHEMA app; CREATE SCHEMA "Other.One";
CREATE TABLE public.schema_migrations(version bigint PRIMARY KEY, dirty boolean NOT NULL);
INSERT INTO schema_migrations VALUES (39, true);
CREATE TABLE app.users(id int PRIMARY KEY, name text);
INSERT INTO app.users SELECT i, 'user ' || i FROM generate_series(1, 100) i;
CREATE TABLE app.orders(id serial PRIMARY KEY, user_id int REFERENCES app.users, note text DEFAULT 'x');
INSERT INTO app.orders(user_id) SELECT i FROM generate_series(1, 50) i;
CREATE INDEX orders_user ON app.orders(user_id);
CREATE TABLE app."{ODD.replace('"', '""')}"(id int); INSERT INTO app."{ODD.replace('"', '""')}" VALUES (1), (2);
CREATE TABLE app."a bXcY"(id int); INSERT INTO app."a bXcY" VALUES (3);
CREATE TABLE app."ORDERS"(id int); INSERT INTO app."ORDERS" VALUES (4);
CREATE TABLE "Other.One".t(id int); INSERT INTO "Other.One".t VALUES (5);
CREATE TABLE app.parts(id int, at date) PARTITION BY RANGE (at);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE "Other.One".parts_2 PARTITION OF app.parts FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO app.parts VALUES (6, '2026-01-10'), (7, '2026-02-10');
CREATE MATERIALIZED VIEW app.counted AS SELECT count(*) FROM app.users;
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT lo_create(4711);
"""
QUOTED = 'app."' + ODD.replace('"', '""') + '"'
TABLES = ("public.schema_migrations", "app.orders", QUOTED, "app.parts", "app.gone")
SAVED = {"schema_migrations": 1, "orders": 50, ODD: 2, "parts": 2, "parts_1": 1, "parts_2": 1}
LEFT_OUT = {"users", "a bXcY", "ORDERS", "t"}


@pytest.fixture(scope="module")
def seeded(postgres: Postgres) -> str:
    postgres.create("to back up")
    with psycopg.connect(postgres.url("to%20back%20up"), autocommit=True) as conn:
        conn.execute(SEED)
    return "to back up"


@pytest.fixture
def params(postgres: Postgres, seeded: str) -> Params:
    return Params(host="127.0.0.1", port=postgres.ports[0], user="postgres", dbname=seeded, sslmode="prefer",
                  password=postgres.password, connect_timeout=5)  # fmt: skip


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-moto")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server.address


@pytest.fixture
def bucket(moto: str) -> Iterator[Any]:
    httpx.post(f"{moto}/moto-api/reset", trust_env=False)
    client = boto3.client("s3", endpoint_url=moto, region_name="us-east-1")
    client.create_bucket(Bucket="backups")
    yield client
    client.close()


def keys_in(client: Any) -> list[str]:
    return sorted(entry["Key"] for entry in client.list_objects_v2(Bucket="backups").get("Contents", ()))


def uploads_in(client: Any) -> list[str]:
    return [upload["Key"] for upload in client.list_multipart_uploads(Bucket="backups").get("Uploads", ())]


def disk(folder: Path, name: str = "incident.dump") -> Place:
    return Place(None, folder / "backups", name)


def s3(folder: Path, name: str = "incident.dump") -> Place:
    return Place("s3://backups/db", folder / "backups", name)


def make(params: Params, where: Place, settings: Settings | None = None, tables: Sequence[str] = TABLES) -> Made:
    return back_up(params, 180_006, tables, where, settings or Settings(), lambda _: None)


def rows(url: str) -> dict[str, int]:
    with psycopg.connect(url) as conn:
        tables = conn.execute(
            "SELECT relname::text, c.oid::regclass::text FROM pg_class c WHERE relkind IN ('r', 'p') AND oid >= 16384"
        ).fetchall()
        return {name: conn.execute(f"SELECT count(*) FROM {known}").fetchone()[0] for name, known in tables}  # type: ignore[index, call-overload]


def schema(postgres: Postgres, name: str) -> list[str]:
    """Every line of `pg_dump -s`, but for its random key."""
    command = [str(BINARIES / "pg_dump"), "-s", postgres.url(name.replace(" ", "%20"))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(line for line in said.split("\n") if not line.startswith(("\\restrict", "\\unrestrict", "--")))


def shell(line: str, postgres: Postgres, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "PGPASSWORD": postgres.password}
    bash = ["bash", "-c", line]
    return subprocess.run(bash, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def restored(made: Made, postgres: Postgres, folder: Path) -> None:
    """The commands as a person would type them, one after the other; then everything is compared."""
    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        conn.execute('DROP DATABASE IF EXISTS "to back up_restored"')
    *sure, last = made.restore.split("\n")
    done = shell("set -e\n" + "\n".join(sure), postgres, folder)
    assert done.returncode == 0, done
    done = shell(f"{made.restore.split(chr(10))[0]}\n{last}", postgres, folder)
    errors = [line for line in done.stderr.split("\n") if "error: could not execute" in line]
    assert len(errors) == 1 and "orders_user_id_fkey" in errors[0], "users has no rows in it"
    found = rows(postgres.url("to%20back%20up_restored"))
    assert found == {**SAVED, **dict.fromkeys(LEFT_OUT, 0)}
    missing = set(schema(postgres, "to back up")) ^ set(schema(postgres, "to back up_restored"))
    assert all("orders_user_id_fkey" in line for line in missing), missing
    with psycopg.connect(postgres.url("to%20back%20up_restored")) as conn:
        assert conn.execute("SELECT last_value FROM app.orders_id_seq").fetchone() == (50,)
        assert conn.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


def test_to_disk_and_back(postgres: Postgres, params: Params, tmp_path: Path) -> None:
    made = make(params, disk(tmp_path))
    file = Path(made.place)
    assert made.place == disk(tmp_path).address
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777, made.notice) == (0o600, 0o700, "")
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, f"{file.name}.sha256"]
    assert (made.bytes, made.sha256) == (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
    subprocess.run(["sha256sum", "--check", f"{file.name}.sha256"], cwd=file.parent, check=True, capture_output=True)
    restored(made, postgres, tmp_path)


@pytest.mark.skipif(not shutil.which("aws"), reason="the AWS command line is not installed")
def test_to_s3_and_back(postgres: Postgres, params: Params, bucket: Any, moto: str, tmp_path: Path) -> None:
    made = make(params, s3(tmp_path), Settings(s3_endpoint=moto))
    key = s3(tmp_path).file
    assert (made.place, made.notice) == (f"s3://backups/db/{key}", "")
    assert keys_in(bucket) == [f"db/{key}", f"db/{key}.sha256"]
    assert not (tmp_path / "backups").exists()
    restored(made, postgres, tmp_path)


def test_large_ones_go_in_parts(postgres: Postgres, params: Params, bucket: Any, moto: str, tmp_path: Path) -> None:
    params = params_of_a_large_one(postgres, params)
    made = make(params, s3(tmp_path), Settings(s3_endpoint=moto), ["big"])
    stored = bucket.get_object(Bucket="backups", Key=f"db/{s3(tmp_path).file}")
    assert stored["ETag"].endswith('-4"'), "it went in four parts"
    assert hashlib.sha256(stored["Body"].read()).hexdigest() == made.sha256


def params_of_a_large_one(postgres: Postgres, params: Params) -> Params:
    """A database whose dump is some 40 MB, made once."""
    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = 'large'").fetchone() is None:
            with psycopg.connect(postgres.create("large"), autocommit=True) as large:
                large.execute("CREATE TABLE big(it bytea)")
                with large.cursor().copy("COPY big FROM STDIN") as copy:
                    for _ in range(42):
                        copy.write_row([os.urandom(1 << 20)])
    return Params({**params, "dbname": "large"})


# -- one incident, one backup ----------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [disk, s3])
def test_a_whole_one_is_kept(params: Params, bucket: Any, moto: str, tmp_path: Path, to: Any) -> None:
    settings = Settings(s3_endpoint=moto)
    assert existing(to(tmp_path), params, settings) is None
    first = make(params, to(tmp_path), settings)
    second = make(params, to(tmp_path), settings)
    assert (second.sha256, second.place, second.bytes) == (first.sha256, first.place, first.bytes)
    assert second.restore == first.restore
    assert second.notice == "The backup of this incident was there already, and is kept."
    assert existing(to(tmp_path), params, settings) == first
    assert make(params, to(tmp_path, "next.dump"), settings).place != first.place


def test_one_on_disk_is_kept_when_s3_is_back(params: Params, bucket: Any, moto: str, tmp_path: Path) -> None:
    first = make(params, s3(tmp_path), Settings(s3_endpoint="http://127.0.0.1:1"))
    assert make(params, s3(tmp_path), Settings(s3_endpoint=moto)).place == first.place
    assert keys_in(bucket) == []


@pytest.mark.parametrize("broken", ["no mark", "another mark", "cut"])
def test_what_is_not_whole_is_made_again_on_disk(params: Params, tmp_path: Path, broken: str) -> None:
    file = Path(make(params, disk(tmp_path)).place)
    mark = file.with_name(f"{file.name}.sha256")
    if broken == "no mark":
        mark.unlink()
    elif broken == "another mark":
        mark.write_text("0" * 64 + f"  {file.name}\n")
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert existing(disk(tmp_path), params, Settings()) is None
    assert make(params, disk(tmp_path)).notice == ""
    assert existing(disk(tmp_path), params, Settings())


@pytest.mark.parametrize("broken", ["no mark", "no archive", "cut"])
def test_what_is_not_whole_is_made_again_in_s3(
    params: Params, bucket: Any, moto: str, tmp_path: Path, broken: str
) -> None:
    settings, key = Settings(s3_endpoint=moto), f"db/{s3(tmp_path).file}"
    make(params, s3(tmp_path), settings)
    if broken == "cut":
        bucket.put_object(Bucket="backups", Key=key, Body=b"PGDMP")
    else:
        bucket.delete_object(Bucket="backups", Key=f"{key}.sha256" if broken == "no mark" else key)
    assert existing(s3(tmp_path), params, settings) is None
    assert make(params, s3(tmp_path), settings).notice == ""
    assert existing(s3(tmp_path), params, settings)


def test_uploads_of_dead_runs_are_ended_ours_alone(params: Params, bucket: Any, moto: str, tmp_path: Path) -> None:
    key = f"db/{s3(tmp_path).file}"
    for name in (key, key, f"{key}.of-another", "db/other"):
        bucket.create_multipart_upload(Bucket="backups", Key=name)
    make(params, s3(tmp_path), Settings(s3_endpoint=moto))
    assert sorted(uploads_in(bucket)) == [f"{key}.of-another", "db/other"]


# -- when S3 is away -------------------------------------------------------------------------------------------


def test_s3_that_does_not_answer(params: Params, tmp_path: Path) -> None:
    said: list[str] = []
    settings = Settings(s3_endpoint="http://127.0.0.1:1")
    made = back_up(params, 180_006, TABLES, s3(tmp_path), settings, said.append)
    assert made.place == disk(tmp_path).address
    assert said == [made.notice]
    assert made.notice.startswith(
        "The backup is on this host's disk and not in S3: S3 gave no answer about s3://backups"
    )


def test_s3_that_refuses(params: Params, bucket: Any, moto: str, tmp_path: Path) -> None:
    httpx.post(f"{moto}/moto-api/reset-auth", content="0", trust_env=False)  # from now on it asks for real keys
    try:
        made = make(params, s3(tmp_path), Settings(s3_endpoint=moto))
    finally:
        httpx.post(f"{moto}/moto-api/reset-auth", content="inf", trust_env=False)
    assert (made.place, "403" in made.notice) == (disk(tmp_path).address, True)
    assert keys_in(bucket) == []


def test_a_bucket_that_is_not_there(params: Params, bucket: Any, moto: str, tmp_path: Path) -> None:
    where = Place("s3://nothing-here", tmp_path / "backups", "incident.dump")
    made = make(params, where, Settings(s3_endpoint=moto))
    assert (made.place, "NoSuchBucket" in made.notice) == (disk(tmp_path).address, True)


def test_s3_that_dies_in_the_middle(params: Params, postgres: Postgres, tmp_path: Path) -> None:
    params = params_of_a_large_one(postgres, params)
    with S3(tmp_path / "moto") as server:
        client = boto3.client("s3", endpoint_url=server.address, region_name="us-east-1")
        client.create_bucket(Bucket="backups")

        def kill_it_once_something_came() -> None:
            while not uploads_in(client):
                time.sleep(0.01)
            server.kill()

        killer = threading.Thread(target=kill_it_once_something_came)
        killer.start()
        made = make(params, s3(tmp_path), Settings(s3_endpoint=server.address), ["big"])
        killer.join()
        client.close()
    assert made.place == disk(tmp_path).address
    assert hashlib.sha256(Path(made.place).read_bytes()).hexdigest() == made.sha256


def test_what_s3_does_not_give_back_as_it_was_is_none(
    params: Params, bucket: Any, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_back = backup_s3._read_back

    def somebody_writes_there(client: Any, bucket: str, key: str, source: dump.Dump) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=b"x" * source.bytes)
        read_back(client, bucket, key, source)

    monkeypatch.setattr(backup_s3, "_read_back", somebody_writes_there)
    made = make(params, s3(tmp_path), Settings(s3_endpoint=moto))
    assert (made.place, keys_in(bucket)) == (disk(tmp_path).address, [])


# -- when there can be none ------------------------------------------------------------------------------------


def pg_dumps(postgres: Postgres) -> list[bytes]:
    """The arguments of every pg_dump that works on this very server."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command, variables = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:  # it has ended, or is somebody else's
                continue
            if b"--lock-wait-timeout" in command and f"PGPORT={postgres.ports[0]}\0".encode() in variables:
                found.append(command)
    return found


@pytest.mark.parametrize("to", [disk, s3])
def test_a_table_that_stays_locked(
    postgres: Postgres,
    params: Params,
    bucket: Any,
    moto: str,
    tmp_path: Path,
    to: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dump, "LOCK_WAIT", "500ms")
    seen: list[bytes] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.extend(pg_dumps(postgres))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with caplog.at_level(0), psycopg.connect(postgres.url("to%20back%20up")) as other:
        other.execute("LOCK TABLE app.users IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StepFailed) as failed:
            make(params, to(tmp_path), Settings(s3_endpoint=moto))
    over.set()
    watcher.join()
    assert (failed.value.reference, failed.value.nothing_changed) == ("backup-failed", True)
    assert "timeout" in failed.value.message
    assert keys_in(bucket) == uploads_in(bucket) == []
    assert not list((tmp_path / "backups").glob("*")) and not list((tmp_path / "backups").glob(".*"))
    assert seen and not any(postgres.password.encode() in command for command in seen)
    assert postgres.password not in f"{failed.value}{failed.value.__dict__}{caplog.text}"
    assert not pg_dumps(postgres)


def test_a_dump_that_breaks_off_late(
    postgres: Postgres, params: Params, bucket: Any, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first part was uploaded the server ends pg_dump's session: no object may come of it."""
    params = params_of_a_large_one(postgres, params)
    read = dump.Dump.read

    def read_and_break(self: dump.Dump, size: int = -1) -> bytes:
        found = read(self, size)
        if self.bytes < 30 << 20:
            with psycopg.connect(postgres.url(), autocommit=True) as conn:
                conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'large'")
        return found

    monkeypatch.setattr(dump.Dump, "read", read_and_break)
    for where in (s3(tmp_path), disk(tmp_path)):
        with pytest.raises(StepFailed, match=r"terminating connection|server closed the connection"):
            make(params, where, Settings(s3_endpoint=moto), ["big"])
    assert keys_in(bucket) == uploads_in(bucket) == []
    assert not list((tmp_path / "backups").glob("*")) and not list((tmp_path / "backups").glob(".*"))


def test_a_role_that_may_not_read(postgres: Postgres, params: Params, tmp_path: Path) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        conn.execute("CREATE ROLE may_little LOGIN PASSWORD 'canary-may-little'")
    with pytest.raises(StepFailed, match="permission denied"):
        make(Params({**params, "user": "may_little", "password": "canary-may-little"}), disk(tmp_path))


def test_a_disk_that_is_full_keeps_nothing(params: Params, tmp_path: Path) -> None:
    """On a file system of 64 kB, which only root can make."""
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", folder], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with psycopg.connect(**{**params, "autocommit": True}) as conn:
            conn.execute("CREATE TABLE filler AS SELECT md5(i::text) it FROM generate_series(1, 20000) i")
        with pytest.raises(StepFailed, match="No space left on device"):
            make(params, disk(tmp_path), tables=["public.filler"])
        assert list(folder.iterdir()) == []
    finally:
        with psycopg.connect(**{**params, "autocommit": True}) as conn:
            conn.execute("DROP TABLE IF EXISTS filler")
        subprocess.run(["umount", folder], check=True)


def test_a_folder_that_others_may_write_to(params: Params, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups").chmod(0o777)
    with pytest.raises(StepFailed, match="others may write"):
        make(params, disk(tmp_path))
    assert list((tmp_path / "backups").iterdir()) == []


def test_no_folder_can_be_made(params: Params, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StepFailed, match="cannot be written"):
        make(params, Place(None, tmp_path / "file" / "backups", "incident.dump"))


CHILD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from store.settings import Settings
    from tasks.migrations.backup import Place, back_up
    from tasks.migrations.login import Params
    password, port, folder = sys.stdin.read().split()
    params = Params(host="127.0.0.1", port=port, user="postgres", dbname="to back up", password=password)
    back_up(params, 180_006, ["app.orders"], Place(None, Path(folder), "incident.dump"), Settings(), print)
""")


def test_killed_in_the_middle_it_leaves_no_process_and_the_next_run_sweeps(
    postgres: Postgres, params: Params, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    with psycopg.connect(postgres.url("to%20back%20up")) as other:
        other.execute("LOCK TABLE app.users IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, text=True) as child:
            assert child.stdin
            child.stdin.write(f"{postgres.password} {postgres.ports[0]} {folder}")
            child.stdin.close()
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'pg_dump'"
            with psycopg.connect(postgres.url(), autocommit=True) as watch:
                deadline = time.monotonic() + 10
                while watch.execute(waiting).fetchone() is None:
                    assert time.monotonic() < deadline and child.poll() is None
            assert pg_dumps(postgres) and list(folder.glob(".*.part"))
            child.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 5
        while pg_dumps(postgres):
            assert time.monotonic() < deadline, "pg_dump outlived us"
    made = make(params, disk(tmp_path), tables=["app.orders"])
    assert made.notice == ""
    assert sorted(path.suffix for path in folder.iterdir()) == [".dump", ".sha256"]


# -- programs --------------------------------------------------------------------------------------------------


def fake(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    program = folder / "pg_dump"
    program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    return program


def test_the_programs_of_the_servers_version_else_newer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    versions = {number: fake(tmp_path / "debian" / str(number) / "bin", f"{number}.2") for number in (13, 15, 16)}
    assert programs.program("pg_dump", 150_018, Settings()) == versions[15]
    assert programs.program("pg_dump", 140_000, Settings()) == versions[15]
    assert programs.find("pg_dump", 140_000, Settings(), same_major=True) is None
    assert programs.program("pg_dump", 180_006, Settings()) == BINARIES / "pg_dump"
    mine = fake(tmp_path / "mine" / "bin", "15.1 (Debian 15.1-1)")
    for folder in (mine.parent, mine.parent.parent):
        assert programs.program("pg_dump", 150_018, Settings(postgres_folder=folder)) == mine
    config = tmp_path / "path" / "pg_config"
    config.parent.mkdir()
    config.write_text(f"#!/bin/sh\necho {mine.parent}\n")
    config.chmod(0o755)
    assert programs.program("pg_dump", 150_018, Settings()) == mine
    with pytest.raises(Refused, match="pg-dump-missing") as missing:
        programs.program("pg_dump", 190_000, Settings())
    assert "postgresql-client-19" in missing.value.hint


def test_a_restore_command_for_any_name() -> None:
    params = {"host": "db", "port": 5432, "user": "it's me", "dbname": "a='b' $(touch x)", "password": "canary"}
    said = restore(params, "/b/it's.dump", "it's.dump", "0" * 64, Settings())
    shown = said.replace("pg_restore", "printf '%s\\n'").replace("createdb", "printf '%s\\n'")
    words = subprocess.run(["bash", "-c", shown],
                           capture_output=True, text=True, check=False).stdout  # fmt: skip
    assert "a='b' $(touch x)_restored" in words.split("\n")
    assert "--dbname=dbname='a=\\'b\\' $(touch x)_restored'" in words.split("\n")
    assert "canary" not in said
