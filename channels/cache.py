"""The last-known-good credentials, sealed in a file: news must go out also while Vault is sealed.

AES-256-GCM; the key comes by HKDF from a key file or a systemd credential, never from Vault. What is authenticated with
it binds the format and the host, so that a file copied elsewhere is of no use. Nothing here raises: who cannot read the
cache learns why, and sends nothing.
"""

import contextlib
import json
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from store.settings import Settings

FORMAT = b"hoodcloud-channels-1"
CREDENTIAL = "runbook-cache-key"
SHORTEST_KEY = 32
_NONCE_BYTES = 12
_CLOCK_SKEW_S = 300
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Kept:
    """What the cache holds and since when, in seconds; or nothing, and why."""

    fields: Mapping[str, str] | None = field(default=None, repr=False)
    age_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Cache:
    """The file, for one host. `clock` gives seconds since 1970."""

    settings: Settings
    host: str = field(default_factory=socket.gethostname)
    clock: Callable[[], float] = time.time

    def save(self, fields: Mapping[str, str]) -> str:
        """Replaces what is kept, durably. Gives why it could not, else an empty string."""
        key, why = _key(self.settings)
        if key is None:
            return why
        nonce = os.urandom(_NONCE_BYTES)
        body = json.dumps({"at": self.clock(), "fields": dict(fields)}).encode()
        try:
            _replace(self.settings.credentials_cache, FORMAT + nonce + AESGCM(key).encrypt(nonce, body, self._bound()))
        except OSError as error:
            return f"the cache could not be written ({error.strerror})"
        return ""

    def load(self) -> Kept:
        """What is kept, if it is whole, of this host, and not too old."""
        key, why = _key(self.settings)
        if key is None:
            return Kept(why=why)
        try:
            sealed = self.settings.credentials_cache.read_bytes()
        except FileNotFoundError:
            return Kept(why="there is no cache yet")
        except OSError as error:
            return Kept(why=f"the cache cannot be read ({error.strerror})")
        try:
            body = json.loads(self._opened(key, sealed))
            age_s = self.clock() - float(body["at"])
            fields = {str(name): str(value) for name, value in body["fields"].items()}
        except (InvalidTag, ValueError, KeyError, TypeError, AttributeError):
            return Kept(why="the cache is damaged, of another host, or sealed with another key")
        if not -_CLOCK_SKEW_S <= age_s <= self.settings.credentials_cache_days * _DAY_S:
            limit = self.settings.credentials_cache_days
            return Kept(age_s=age_s, why=f"the cache is {age_s / _DAY_S:.1f} days old; its limit is {limit:g}")
        return Kept(fields, max(age_s, 0.0))

    def forget(self) -> None:
        """Removes what is kept: it was withdrawn, and must not come back when Vault is sealed next."""
        with contextlib.suppress(OSError):
            self.settings.credentials_cache.unlink()
            _sync_folder(self.settings.credentials_cache.parent)

    def _opened(self, key: bytes, sealed: bytes) -> bytes:
        """Raises: InvalidTag, ValueError."""
        found, rest = sealed[: len(FORMAT)], sealed[len(FORMAT) :]
        if found != FORMAT:
            raise InvalidTag
        return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], self._bound())

    def _bound(self) -> bytes:
        return FORMAT + b"|" + self.host.encode()


def _key(settings: Settings) -> tuple[bytes | None, str]:
    """The key, or why there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = settings.credentials_key or (Path(folder) / CREDENTIAL if folder else None)
    if path is None:
        return None, "no cache: RUNBOOK_CREDENTIALS_KEY is not set"
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            secret = file.read(4096).strip()
    except OSError as error:
        return None, f"the cache's key {path} cannot be read ({error.strerror})"
    # systemd guards its own folder, and lets a service's user in by an ACL that shows as a group bit
    if settings.credentials_key and stat.S_IMODE(about.st_mode) not in (0o400, 0o600):
        return None, f"the cache's key {path} has mode {stat.S_IMODE(about.st_mode):04o}; only 0400 and 0600 will do"
    if len(secret) < SHORTEST_KEY:
        return None, f"the cache's key {path} is shorter than {SHORTEST_KEY} bytes"
    return HKDF(SHA256(), 32, None, FORMAT).derive(secret), ""


def _replace(path: Path, content: bytes) -> None:
    """Writes `content` so that after a power cut the file is the old one or the new one, whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
