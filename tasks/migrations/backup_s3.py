"""Backups in S3: streamed there, read back, and only then marked as whole."""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

from runbooks.errors import Refused
from store.settings import Settings
from tasks.migrations import s3
from tasks.migrations.backup_disk import Stored
from tasks.migrations.dump import Dump

_PART = 16 << 20
"""Bytes of one part of an upload: with S3's 10,000 parts that is 160 GB; two are in memory at most."""

_CHUNK = 1 << 20


def store(dump: Callable[[], Dump], address: str, file: str, settings: Settings) -> Stored:
    """Uploads the dump to `address`/`file`, reads it back, and puts `file`.sha256 beside it. Two runs never write at
    once, for a run holds its database.

    Raises: as `s3.reached`; Refused `s3-changed-it`; StepFailed `backup-failed`. Then nothing there counts as a backup.
    """
    from boto3.s3.transfer import TransferConfig  # as boto3, it takes long to import

    bucket, prefix = s3.place(address)
    key, place = prefix + file, f"s3://{bucket}/{prefix}{file}"
    with s3.reached(settings, place) as client:
        _abort_leftovers(client, bucket, key)
        # in this thread: pg_dump dies with the thread that started it, and its errors come out of `read`
        config = TransferConfig(
            use_threads=False, multipart_threshold=_PART, multipart_chunksize=_PART, preferred_transfer_client="classic"
        )
        with dump() as source:
            client.upload_fileobj(source, bucket, key, Config=config)
        try:
            _read_back(client, bucket, key, source)
        except BaseException:
            with contextlib.suppress(Exception):
                client.delete_object(Bucket=bucket, Key=key)
            raise
        client.put_object(
            Bucket=bucket,
            Key=f"{key}.sha256",
            Body=f"{source.sha256}  {file}\n".encode(),
            Metadata={"bytes": str(source.bytes)},
        )
    return Stored(place, source.sha256, source.bytes)


def find(address: str, file: str, settings: Settings) -> Stored | None:
    """The whole archive at `address`/`file`, if it is there. Raises: as `s3.reached`."""
    from botocore.exceptions import ClientError

    bucket, prefix = s3.place(address)
    key, place = prefix + file, f"s3://{bucket}/{prefix}{file}"
    with s3.reached(settings, place) as client:
        try:
            mark = client.get_object(Bucket=bucket, Key=f"{key}.sha256")
            with mark["Body"] as body:
                said = body.read(1000).decode(errors="replace")
            size = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if s3.missing(error):
                return None
            raise
    digest, _, name = said.rstrip("\n").partition("  ")
    whole = name == file and mark["Metadata"].get("bytes") == str(size)
    return Stored(place, digest, size) if whole else None


def _abort_leftovers(client: Any, bucket: str, key: str) -> None:
    """Ends uploads to this very key whose run died: S3 keeps their parts, and bills them, for ever."""
    from botocore.exceptions import ClientError

    try:
        begun = client.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", ())
        for upload in begun:
            if upload["Key"] == key:
                client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
    except ClientError as error:
        if s3.missing(error) or error.response["ResponseMetadata"]["HTTPStatusCode"] not in (403, 405, 501):
            raise  # who may not list them may still upload


def _read_back(client: Any, bucket: str, key: str, source: Dump) -> None:
    digest, size = hashlib.sha256(), 0
    with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
        while chunk := body.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    if (digest.hexdigest(), size) != (source.sha256, source.bytes):
        raise Refused(
            "s3-changed-it",
            f"{key} reads back as {size} bytes with SHA-256 {digest.hexdigest()[:12]}, written were {source.bytes}"
            f" with {source.sha256[:12]}",
            hint="find out who else writes to that bucket; the backup goes to disk",
        )
