"""The way to S3, Amazon's or any other, and what its errors mean."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

from keys import redaction
from runbooks.errors import BadRequest, Refused, RunbookError, Unreachable
from store.settings import Settings
from tasks.migrations.login import secret_field

CONNECT_S, READ_S, ATTEMPTS = 3, 20, 2
"""How long one attempt waits, seconds, and how many there are: nobody waits minutes for a backup's second choice."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NOISY = ("boto3", "botocore", "s3transfer", "urllib3")
"""At DEBUG they log requests with their signatures, and whole answers."""

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


def client(settings: Settings) -> Any:
    """A client; close it. Path style for an endpoint of one's own, and no proxy of the environment.

    Raises: BadRequest `s3-not-https`, Refused `password-missing` and what Vault refuses, Unreachable (Vault).
    """
    import boto3  # 0.2 s, and most runs need none
    from botocore.config import Config

    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    redaction.quiet()
    own = settings.s3_endpoint
    if own and not own.startswith("https://") and urlsplit(own).hostname not in _LOOPBACK:
        raise BadRequest("s3-not-https", f"{own} is not https", hint="set RUNBOOK_S3_ENDPOINT to its https address")
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path" if own else "auto"},
        proxies={},
        # servers other than Amazon's do not all know the newer checksums
        request_checksum_calculation="when_required" if own else "when_supported",
        response_checksum_validation="when_required" if own else "when_supported",
    )
    keys = {}
    for name, reference in (
        ("aws_access_key_id", settings.s3_key_id),
        ("aws_secret_access_key", settings.s3_secret_key),
    ):
        if reference and (value := secret_field(reference, settings)):
            keys[name] = value
    # a session of its own: boto3's default one never reads its keys again
    return boto3.Session().client("s3", endpoint_url=own, region_name=settings.s3_region, config=config, **keys)


@contextmanager
def reached(settings: Settings, what: str) -> Iterator[Any]:
    """A client for the time of a `with`. What S3 says against it is raised as an error for people, about `what`.

    Raises: as `client`; Unreachable `s3-unreachable`, Refused `s3-refused`, `s3-missing`.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with closing(client(settings)) as found:
            yield found
    except ClientError as error:
        failed = _answered(error, what)
    except (BotoCoreError, Boto3Error) as error:
        failed = _silent(error, what)
    else:
        return
    raise failed


def missing(error: Any) -> bool:
    """Whether a ClientError says that there is no such thing."""
    return str(error.response.get("Error", {}).get("Code", "")) in _MISSING


def place(address: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix, if there is one, ends in a slash."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def _answered(error: Any, what: str) -> RunbookError:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    code = str(error.response.get("Error", {}).get("Code", ""))[:60]
    said = f"S3 said {status} {code} about {what}"
    if missing(error):
        return Refused("s3-missing", said, hint="correct the bucket and the prefix of the setting")
    if status in (400, 401, 403, 405, 409):
        return Refused("s3-refused", said, hint="let the key of the runbooks read, write, list and delete there")
    return Unreachable("s3-unreachable", said, hint="look whether RUNBOOK_S3_ENDPOINT is up")


def _silent(error: Exception, what: str) -> RunbookError:
    kind, said = type(error).__name__, redaction.redacted(str(error))[:200]
    if kind in ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError"):
        return Refused(
            "s3-refused",
            f"S3 cannot be asked for {what}: {said}",
            hint="set RUNBOOK_S3_KEY_ID and RUNBOOK_S3_SECRET_KEY",
        )
    return Unreachable(
        "s3-unreachable",
        f"S3 gave no answer about {what} ({kind}: {said})",
        hint="look whether RUNBOOK_S3_ENDPOINT is up",
    )
