"""Where kept shares lie, and how one is opened. Outside, a share is known by its reference and its fingerprint."""

import base64
import binascii
import contextlib
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LONGEST_S = 10
"""How long gpg or a command may take to give one share, seconds."""

SHORTEST, LONGEST = 16, 33
"""Bytes that Vault accepts in a share: a 15- to 32-byte part of the key and one byte that says which point it is."""


class Unopened(Exception):
    """A share could not be opened; the text says why and holds nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class OpenShare:
    """An opened share. `fingerprint`, the first 8 digits of its SHA-256, is all that may be shown."""

    reference: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        """The name by which people may speak of it: the same for the hex and the base64 form."""
        return hashlib.sha256(self.key).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"{self.reference} ({self.fingerprint})"


def open_share(reference: str) -> OpenShare:
    """The share that `reference` names. Raises: Unopened."""
    kind, _, where = reference.partition(":")
    if kind not in _OPENERS or not where:
        raise Unopened(f"is none of {', '.join(f'{known}:…' for known in _OPENERS)}")
    return OpenShare(reference, read_share(_OPENERS[kind](where)))


def read_share(text: bytes) -> bytes:
    """The bytes of a share that was written as hex or base64. Raises: Unopened."""
    compact = b"".join(text.split())
    for decode in (binascii.unhexlify, lambda value: base64.b64decode(value, validate=True)):
        with contextlib.suppress(binascii.Error):
            key = decode(compact)
            if not SHORTEST <= len(key) <= LONGEST:
                raise Unopened(f"is malformed: {len(key)} bytes, a share has {SHORTEST} to {LONGEST}")
            return key
    raise Unopened("is malformed: neither hex nor base64")


def look_at(reference: str) -> tuple[str, str]:
    """What can be said of a share without side effects: its fingerprint and its trouble, either of them empty.

    Plain files are opened and read. What gpg or a command would have to give is only looked at from outside: a look
    decrypts nothing.
    """
    kind, _, where = reference.partition(":")
    try:
        if kind in ("file", "credential"):
            return open_share(reference).fingerprint, ""
        if kind == "command" and not os.access(where, os.X_OK):
            raise Unopened("is no program that this user may run")
        if kind == "pgp" and not os.access(where, os.R_OK):
            raise Unopened("cannot be read by this user")
        if kind not in _OPENERS:
            open_share(reference)
    except Unopened as trouble:
        return "", str(trouble)
    return "", ""


def _file(where: str, *, ours: bool = True) -> bytes:
    """The content of a plain file; `ours`: only if it belongs to this user and nobody else can read or change it."""
    try:
        handle = os.open(where, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hold us up
    except OSError as error:
        raise Unopened(f"cannot be opened: {os.strerror(error.errno or 0)}") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Unopened("is not a plain file")
        if ours and stat.S_IMODE(found.st_mode) != 0o400:
            raise Unopened(f"has mode {stat.S_IMODE(found.st_mode):04o}, must be 0400")
        if ours and found.st_uid != os.geteuid():
            raise Unopened("belongs to another user")
        return os.read(handle, 4096)
    finally:
        os.close(handle)


def _credential(name: str) -> bytes:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder or "/" in name:
        raise Unopened("needs a systemd unit with LoadCredential= for it")
    # systemd sees to who may read it; from version 254 on it belongs to root, mode 0440, with an ACL (issue 29435)
    return _file(f"{folder}/{name}", ours=False)


def _pgp(where: str) -> bytes:
    try:
        sealed = Path(where).read_bytes()
    except OSError as error:
        raise Unopened(f"cannot be read: {os.strerror(error.errno or 0)}") from None
    with contextlib.suppress(binascii.Error):  # `operator init -pgp-keys` prints base64 of the binary message
        sealed = base64.b64decode(b"".join(sealed.split()), validate=True)
    return _output(["gpg", "--batch", "--quiet", "--decrypt"], sealed)


def _command(where: str) -> bytes:
    return _output([where], b"")


def _output(command: list[str], given: bytes) -> bytes:
    import subprocess  # seldom used, and 10 ms of this program's life

    try:
        done = subprocess.run(
            command, input=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unopened(f"gave no share within {LONGEST_S} s") from None
    except OSError as error:
        raise Unopened(f"cannot be run: {os.strerror(error.errno or 0)}") from None
    if done.returncode != 0:
        raise Unopened(f"{Path(command[0]).name} ended with {done.returncode}")
    return done.stdout


_OPENERS: dict[str, Callable[[str], bytes]] = {
    "file": _file,
    "credential": _credential,
    "pgp": _pgp,
    "command": _command,
}
