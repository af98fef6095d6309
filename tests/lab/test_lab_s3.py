"""The lab's S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from lab.processes import processes_of
from lab.s3 import S3


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server
    assert processes_of(server.folder) == {}


def test_it_keeps_what_is_written_into_a_bucket(s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket("backups")
    assert s3.objects(bucket) == {}
    s3.client().put_object(Bucket=bucket, Key="one/schema.sql", Body=b"CREATE", Metadata={"sha256": "ab"})
    assert s3.objects(bucket) == {"one/schema.sql": 6}
    assert s3.objects(bucket, "two/") == {}
    assert s3.read(bucket, "one/schema.sql") == b"CREATE"
    assert s3.metadata(bucket, "one/schema.sql") == {"sha256": "ab"}
    (tmp_path / "001_a.up.sql").write_text("SELECT 1;")
    s3.put_folder(bucket, "migrations/", tmp_path)
    assert s3.read(bucket, "migrations/001_a.up.sql") == b"SELECT 1;"


def test_it_keeps_old_versions_where_that_was_asked_for(s3: S3) -> None:
    bucket = s3.bucket("versioned", versioned=True)
    for text in (b"one", b"two"):
        s3.client().put_object(Bucket=bucket, Key="key", Body=text)
    assert len(s3.client().list_object_versions(Bucket=bucket)["Versions"]) == 2


def test_it_can_refuse_and_take_again(s3: S3) -> None:
    bucket = s3.bucket("closed")
    s3.refuse()
    try:
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            s3.client().put_object(Bucket=bucket, Key="key", Body=b"text")
    finally:
        s3.refuse(refuses=False)
    assert s3.objects(bucket) == {}


def test_its_secret_is_its_own(s3: S3, tmp_path: Path) -> None:
    other = S3(tmp_path)
    assert other.secret != s3.secret and other.key_id != s3.key_id
    assert s3.secret not in " ".join(processes_of(s3.folder).values())
