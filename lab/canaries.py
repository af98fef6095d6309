"""Every secret of the lab, looked for in every place where it must not be."""

import base64
import json
import os
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.world import World

SHORTEST = 10
"""A value with fewer characters than this is not looked for: it would be found by chance."""


@dataclass(frozen=True)
class Hunt:
    """How many secrets were looked for in how many places, and a line for each that was found."""

    secrets: int
    places: int
    found: tuple[str, ...]


def hunt(world: World, *more: Path) -> Hunt:
    """Look for every secret of `world`: in Prefect's database, the store, all logs and files, messages, processes.

    Left out is only where a secret belongs: Vault's own folder, the receivers' (they are the other side), the key of
    the cache, the files with passwords of databases. `more` are further files and folders to look into.
    """
    secrets = [secret for secret in world.secrets() if len(secret) >= SHORTEST]
    needles = {form: number for number, secret in enumerate(secrets) for form in forms(secret)}
    found, places = [], 0
    for place, content in _places(world, *more):
        places += 1
        for form, number in needles.items():
            if form in content:
                found.append(f"; secret {number} ({len(secrets[number])} characters) is in {place}")
    return Hunt(len(secrets), places, tuple(dict.fromkeys(found)))


def forms(secret: str) -> set[bytes]:
    """The ways in which a secret may have been written down: as it is, in an address, in JSON, base64, hex."""
    raw = secret.encode()
    encoded = base64.b64encode(raw)
    cut = encoded.rstrip(b"=")[:-1]  # its last digit depends on what follows
    quoted, in_json = urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1]
    return {raw, quoted.encode(), in_json.encode(), cut, raw.hex().encode()}


def _places(world: World, *more: Path) -> Iterator[tuple[str, bytes]]:
    yield "Prefect's database", _dump(world)
    yield "the messages", json.dumps([world.receivers.arrived(), world.receivers.refused()]).encode()
    belongs = [world.vault.folder, world.receivers.folder, world.folder / "cache.key", world.postgres.folder]
    belongs += (place for file in ("password", ".env") for place in world.migrated.folder.glob(f"*/{file}"))
    for folder in (world.folder, *more):
        for file in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if file.is_file() and not any(file.is_relative_to(own) for own in belongs):
                yield str(file), file.read_bytes()
    yield "PostgreSQL's log", world.postgres.log.read_bytes()
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile
            yield f"the arguments of process {process.name}", (process / "cmdline").read_bytes()


def _dump(world: World) -> bytes:
    command = [str(world.postgres.binaries / "pg_dump"), "--data-only", "--dbname", "prefect", "--username", "postgres"]
    host, port = world.postgres.address.split(":")
    environment = {"PGHOST": host, "PGPORT": port, "PGPASSWORD": world.postgres.password}
    return subprocess.run(command, capture_output=True, check=True, env=environment).stdout
