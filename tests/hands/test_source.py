"""Migration files, from a folder, from git and from S3; and the digests of deployed ones."""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.s3 import S3
from runbooks.errors import BadRequest, Refused, RunbookError, Unreachable
from runbooks.migrations.files import migrations_of
from store.settings import Settings
from tasks.migrations import source
from tasks.migrations.source import deployed_digests, files_at

UP, DOWN, OTHER = ("001_a.up.sql", b"SELECT 1;\n"), ("001_a.down.sql", b""), ("002_ä.up.sql", b"\xff\x00")
FILES = dict([UP, DOWN, OTHER])
PASSED_OVER = {"README.md": b"x" * 100, "1_a.up": b"", "a.up.sql": b""}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def git(repository: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(repository), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: the second changes a file, and adds links and folders."""
    top = fill(tmp_path / "repository" / "db" / "migrations", {**FILES, **PASSED_OVER}).parents[1]
    git(top, "init", "-q", "-b", "main")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    git(top, "tag", "v1")
    below = top / "db" / "migrations"
    (below / UP[0]).write_bytes(b"SELECT 2;\n")
    fill(top / "elsewhere", {"003_c.up.sql": b"SELECT 3;\n"})
    (below / "003_c.up.sql").symlink_to("../../elsewhere/003_c.up.sql")
    fill(below / "004_folder.up.sql", {"x": b""})
    git(top, "add", ".")
    git(top, "commit", "-qm", "two")
    return top


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server.address


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a bucket called `migrations`, new for each test, and the keys of boto3's own chain."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-moto")
    client = boto3.client("s3", endpoint_url=moto, region_name="us-east-1")
    client.create_bucket(Bucket="migrations")
    yield client
    for entry in client.list_objects_v2(Bucket="migrations").get("Contents", ()):
        client.delete_object(Bucket="migrations", Key=entry["Key"])
    client.delete_bucket(Bucket="migrations")
    client.close()


def put(client: Any, files: dict[str, bytes], prefix: str = "") -> None:
    for name, content in files.items():
        client.put_object(Bucket="migrations", Key=prefix + name, Body=content)


def test_a_folder(tmp_path: Path) -> None:
    fill(tmp_path / "m", {**FILES, **PASSED_OVER})
    fill(tmp_path / "m" / "005_below.up.sql", {"006_x.up.sql": b""})
    (tmp_path / "m" / "003_c.up.sql").symlink_to(fill(tmp_path / "else", {"c.sql": b"SELECT 3;"}) / "c.sql")
    assert dict(files_at(str(tmp_path / "m"), Settings())) == {**FILES, "003_c.up.sql": b"SELECT 3;"}


def test_a_git_revision(repository: Path) -> None:
    for revision in ("v1", "HEAD~1", "main~1", git(repository, "rev-parse", "v1"), "HEAD@{1}"):
        assert dict(files_at(f"git:{repository}@{revision}:db/migrations", Settings())) == FILES, revision
    now = {**FILES, UP[0]: b"SELECT 2;\n", "003_c.up.sql": b"SELECT 3;\n"}
    for folder in ("db/migrations", "/db/migrations/", "./db//migrations"):
        assert dict(files_at(f"git:{repository}@main:{folder}", Settings())) == now


def test_a_bare_repository_and_its_top_folder(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    assert dict(files_at(f"git:{tmp_path}/bare.git@main:elsewhere", Settings())) == {"003_c.up.sql": b"SELECT 3;\n"}
    with pytest.raises(BadRequest, match="migrations-missing"):
        files_at(f"git:{tmp_path}/bare.git@main:", Settings())


def test_git_changes_nothing_and_runs_nothing(repository: Path, tmp_path: Path) -> None:
    for hook in ("post-checkout", "reference-transaction"):
        file = repository / ".git" / "hooks" / hook
        file.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        file.chmod(0o755)
    (repository / "db" / "migrations" / UP[0]).write_bytes(b"not committed")
    seen = sorted((path, path.stat().st_mtime_ns) for path in repository.rglob("*"))
    assert dict(files_at(f"git:{repository}@HEAD:db/migrations", Settings()))[UP[0]] == b"SELECT 2;\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in repository.rglob("*")) == seen
    assert not (tmp_path / "ran").exists()


def test_a_link_out_of_a_revision_is_not_followed(repository: Path, tmp_path: Path) -> None:
    for target in (str(fill(tmp_path / "secrets", {"s": b"canary"}) / "s"), "nothing-here", "009_loop.up.sql"):
        link = repository / "db" / "migrations" / "009_loop.up.sql"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        git(repository, "add", ".")
        git(repository, "commit", "-qm", "link")
        with pytest.raises(BadRequest, match="migrations-unreachable"):
            files_at(f"git:{repository}@main:db/migrations", Settings())


def test_a_bucket(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # no proxy of the environment is asked
    put(bucket, {**FILES, **PASSED_OVER, "": b"", "below/003_x.up.sql": b""}, "a/b/")
    put(bucket, {"004_x.up.sql": b"", "b2/005_x.up.sql": b""}, "a/")
    settings = Settings(s3_endpoint=moto)
    for prefix in ("a/b", "a/b/", "/a/b"):
        assert dict(files_at(f"s3://migrations/{prefix}", settings)) == FILES
    put(bucket, dict([UP]))
    assert files_at("s3://migrations", settings) == (UP,)


def test_a_bucket_of_many_pages(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_PAGE", 10)
    put(bucket, {f"{number:04}_x.up.sql": b"%d" % number for number in range(1, 26)}, "m/")
    found = files_at("s3://migrations/m", Settings(s3_endpoint=moto))
    assert found == tuple((f"{number:04}_x.up.sql", b"%d" % number) for number in range(1, 26))


# A newcomer adds a case here: the source ({} is the test's folder), the error, and its reference.
NOTHING: dict[str, tuple[str, type[RunbookError], str]] = {
    "no such folder": ("{}/nothing", BadRequest, "migrations-missing"),
    "a file": ("{}/migrations/README.md", BadRequest, "migrations-missing"),
    "no migration in it": ("{}/empty", BadRequest, "migrations-missing"),
    "no repository": ("git:{}/migrations@main:x", BadRequest, "migrations-unreachable"),
    "no folder for git": ("git:{}/nothing@main:x", BadRequest, "migrations-unreachable"),
    "no such revision": ("git:{}/repository@v9:db/migrations", BadRequest, "migrations-missing"),
    "no such folder of git": ("git:{}/repository@main:db/nothing", BadRequest, "migrations-missing"),
    "a file of git": ("git:{}/repository@main:elsewhere/003_c.up.sql", BadRequest, "migrations-missing"),
    "out of the repository": ("git:{}/repository@main:../migrations", BadRequest, "migrations-missing"),
    "a revision that is an option": ("git:{}/repository@--help:db", BadRequest, "bad-setting"),
    "no revision": ("git:{}/repository", BadRequest, "bad-setting"),
    "an object that is no commit": ("git:{}/repository@HEAD^{{tree}}:db", BadRequest, "migrations-missing"),
    "no such bucket": ("s3://nothing-here/x", Refused, "s3-missing"),
    "nothing in the bucket": ("s3://migrations/x", BadRequest, "migrations-missing"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_is_there(repository: Path, bucket: Any, moto: str, case: str) -> None:
    where, kind, reference = NOTHING[case]
    fill(repository.parent / "migrations", {**FILES, **PASSED_OVER})
    fill(repository.parent / "empty", PASSED_OVER)
    with pytest.raises(kind) as failed:
        files_at(where.format(repository.parent), Settings(s3_endpoint=moto))
    assert failed.value.reference == reference


def a_pipe(file: Path) -> None:
    os.mkfifo(file)


def a_dangling_link(file: Path) -> None:
    file.symlink_to("nothing")


def a_loop(file: Path) -> None:
    file.symlink_to(file.name)


@pytest.mark.parametrize("make", [a_pipe, a_dangling_link, a_loop])
def test_a_file_that_cannot_be_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(fill(tmp_path, FILES) / "003_x.up.sql")
    with pytest.raises(BadRequest, match="migrations-unreachable"):
        files_at(str(tmp_path), Settings())


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(fill(tmp_path, FILES)) + b"/003_\xff.up.sql")).touch()
    with pytest.raises(BadRequest, match="migration-unreadable"):
        files_at(str(tmp_path), Settings())


def test_too_much_is_refused_wherever_it_lies(
    repository: Path, bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, FILES, "m/")
    places = [str(repository / "db/migrations"), f"git:{repository}@main:db/migrations", "s3://migrations/m"]
    for limits in ({"MOST": 2}, {"LARGEST": 9}):
        for name, value in limits.items():
            monkeypatch.setattr(source, name, value)
        for place in places:
            with pytest.raises(BadRequest, match="migrations-too-large"):
                files_at(place, Settings(s3_endpoint=moto))
        monkeypatch.undo()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "for-moto")


def test_s3_that_is_away_refuses_or_is_not_safe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="s3-not-https"):
        files_at("s3://migrations/m", Settings(s3_endpoint="http://192.0.2.1:9000"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused, match="s3-refused"):
        files_at("s3://migrations/m", Settings(s3_endpoint="http://127.0.0.1:1"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-moto")
    with pytest.raises(Unreachable, match="s3-unreachable"):
        files_at("s3://migrations/m", Settings(s3_endpoint="http://127.0.0.1:1"))


def test_digests_are_those_of_sha256sum(tmp_path: Path) -> None:
    names = {UP[0], OTHER[0], "003_back\\slash.up.sql", "004_line\nbreak.up.sql", "005 blank *.up.sql"}
    fill(tmp_path / "m", {name: name.encode() for name in names})
    for options in ([], ["--binary"]):
        said = subprocess.run(["sha256sum", *options, *(tmp_path / "m").iterdir()], capture_output=True, check=True)
        (tmp_path / "digests").write_bytes(said.stdout)
        expected = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
        assert deployed_digests(tmp_path / "digests") == expected
    up = migrations_of(files_at(str(fill(tmp_path / "one", dict([UP]))), Settings())).versions[0].up
    assert up and up.digest == hashlib.sha256(UP[1]).hexdigest()


HASH = "0" * 64

# A newcomer adds a case here: what is in the file instead.
NO_DIGESTS = {
    "nothing": "",
    "blank": "\n\n",
    "not a hash": f"{HASH[1:]}  001_a.up.sql\n",
    "one blank": f"{HASH} 001_a.up.sql\n",
    "no name": f"{HASH}  \n",
    "md5": "0" * 32 + "  001_a.up.sql\n",
    "a line of something else": f"{HASH}  001_a.up.sql\nsha256sum: 002: No such file or directory\n",
    "two digests of one name": f"{HASH}  a/001_a.up.sql\n{HASH[1:]}1  b/001_a.up.sql\n",
}


@pytest.mark.parametrize("case", NO_DIGESTS)
def test_what_is_not_from_sha256sum(tmp_path: Path, case: str) -> None:
    (tmp_path / "digests").write_text(NO_DIGESTS[case])
    with pytest.raises(BadRequest, match="digests-unreadable"):
        deployed_digests(tmp_path / "digests")


def test_digests_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(HASH.encode() + b"  \xff\n")
    for place in (tmp_path / "none", tmp_path, tmp_path / "latin"):
        with pytest.raises(BadRequest, match="digests-unreadable"):
            deployed_digests(place)
