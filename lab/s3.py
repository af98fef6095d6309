"""S3, played by moto's server, as one process on loopback."""

import secrets
import sys
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lab.server import Server

REGION = "eu-central-1"
_ANSWER_LIMIT_S = 5


class S3(Server):
    """Buckets in memory: what was written is gone when it stops. `key_id` and `secret` are random; it takes any."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.key_id = f"AKIA{secrets.token_hex(8).upper()}"
        self.secret = secrets.token_urlsafe(30)

    @property
    def address(self) -> str:
        """The endpoint's URL."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def client(self) -> Any:
        """A client of boto3 for it, which looks into no file and no variable of this machine."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.address,
            region_name=REGION,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
        )

    def bucket(self, name: str, *, versioned: bool = False) -> str:
        """Makes an empty bucket, of 3 characters or more; its name."""
        client = self.client()
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """The size in bytes of every object, by key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def read(self, bucket: str, key: str) -> bytes:
        """What is in an object."""
        return bytes(self.client().get_object(Bucket=bucket, Key=key)["Body"].read())

    def metadata(self, bucket: str, key: str) -> dict[str, str]:
        """What its writer said about an object."""
        return dict(self.client().head_object(Bucket=bucket, Key=key)["Metadata"])

    def put_folder(self, bucket: str, prefix: str, folder: Path) -> None:
        """Writes every file of `folder` as an object below `prefix`."""
        for file in sorted(folder.iterdir()):
            self.client().put_object(Bucket=bucket, Key=f"{prefix}{file.name}", Body=file.read_bytes())

    def refuse(self, *, refuses: bool = True) -> None:
        """From now on (not) every request is refused with `InvalidAccessKeyId`."""
        with closing(HTTPConnection("127.0.0.1", self.ports[0], timeout=_ANSWER_LIMIT_S)) as connection:
            connection.request("POST", "/moto-api/reset-auth", "0" if refuses else "inf")
            connection.getresponse().read()

    def command(self) -> Sequence[str]:
        """Moto's server."""
        return (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.ports[0]))

    def answers(self) -> bool:
        """Whether it lists buckets."""
        with closing(HTTPConnection("127.0.0.1", self.ports[0], timeout=_ANSWER_LIMIT_S)) as connection:
            connection.request("GET", "/moto-api/data.json")
            return connection.getresponse().status == 200
