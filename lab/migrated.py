"""The lab's migrated databases as the runbooks know them, with `./migrate`, and a bucket for backups."""

import hashlib
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.dirty_cases import CASES, Broken, Case, happen
from lab.hoodcloud_database import HoodcloudDatabase, HoodcloudDatabases
from lab.postgres import Postgres
from lab.s3 import REGION, S3
from runbooks.errors import BadRequest

ROOT = Path(__file__).parents[1]
BUCKET = "hoodcloud-backups"
SERVICES = {
    "control-plane": ("control_plane", "hoodcloud"),
    "payment-service": ("payment_service", "hoodcloud_payment"),
}
"""The databases by the runbooks' name for them: the service whose migrations they have, and their own name."""

FIELDS = {"control-plane": "database_password", "payment-service": "payment_database_password"}
"""The fields of app-credentials with their passwords."""

USUAL = "committed-half"
"""What `lab break migration` does when no case is named."""


class MigratedDatabases:
    """HoodCloud's two databases on `server`, below `folder`. `broken` is what was last broken, and how."""

    def __init__(self, folder: Path, server: Postgres, s3: S3) -> None:
        self.folder, self.server, self.s3 = folder, server, s3
        self.databases = HoodcloudDatabases(server)
        self.known: dict[str, HoodcloudDatabase] = {}
        self.broken: tuple[Case, Broken] | None = None

    def start(self) -> None:
        """Makes both, migrated to the newest version and with rows; the servers must be up."""
        self.s3.bucket(BUCKET)
        for name, (service, dbname) in SERVICES.items():
            place = self._place(name)
            place.mkdir(parents=True, mode=0o700)
            self.known[name] = self.databases.create(place / "migrations", service, name=dbname)
            self._write_program(name)
            self.release(name)
            password = place / "password"
            password.touch(mode=0o600)
            password.write_text(self.databases.password)
            password.chmod(0o400)

    def credentials(self) -> dict[str, str]:
        """What Vault holds for them."""
        passwords = dict.fromkeys(FIELDS.values(), self.databases.password)
        return {**passwords, "s3_access_key": self.s3.key_id, "s3_secret_key": self.s3.secret}

    def settings(self) -> dict[str, Any]:
        """RUNBOOK_DATABASES, as data."""
        return {name: self._settings(name) for name in self.known}

    def environment(self) -> dict[str, str]:
        """The settings of S3."""
        secret = "secret/hoodcloud/app-credentials"
        return {
            "RUNBOOK_S3_ENDPOINT": self.s3.address,
            "RUNBOOK_S3_REGION": REGION,
            "RUNBOOK_S3_KEY_ID": f"{secret}#s3_access_key",
            "RUNBOOK_S3_SECRET_KEY": f"{secret}#s3_secret_key",
            "RUNBOOK_POSTGRES_FOLDER": str(self.server.binaries),
        }

    def break_(self, name: str = "") -> str:
        """Makes a case happen in the database of its service, as it is from the start; says what it is.

        Raises: BadRequest `unknown-case`.
        """
        case = CASES.get(name or USUAL)
        if case is None:
            raise BadRequest("unknown-case", f"there is no case {name[:60]!r}", hint="`lab cases` lists them")
        self.close()
        target = _target_of(case)
        bed = happen(case, self.databases, self._place(target) / "migrations", SERVICES[target][1])
        self.broken, self.known[target] = (case, bed), bed.database
        self._write_program(target, bed)
        self.release(target, bed.deployed)  # as ./migrate read them last, whatever was edited since
        hint = f" --param direction={case.hint}" if case.hint else ""
        look = f"runbook plan recover-dirty-migration --param database={target}{hint}"
        return f"{target}: {case.what}\n  its files: {self._place(target) / 'migrations'}\n  {look}"

    def check_curable(self) -> None:
        """Raises: BadRequest `nothing-broken`; `no-cure`, where a corrected file is not enough; `still-dirty`, since a
        file that is corrected before the look is not the one that ran.
        """
        if not self.broken:
            raise BadRequest("nothing-broken", "no migration was broken here", hint="`lab break migration` breaks one")
        case, bed = self.broken
        if not case.then_up:
            hint = "repair it by hand with the evidence that the plan shows, or break something else"
            raise BadRequest("no-cure", f"{case.name} needs a person, a corrected file is not enough", hint=hint)
        if any(dirty for _, dirty in bed.version_rows() or ()):
            hint = "let recover-dirty-migration end first: a corrected file is not the one that ran"
            raise BadRequest("still-dirty", f"{_target_of(case)} is still dirty", hint=hint)

    def cure(self) -> str:
        """Removes the cause of what was last broken, so that `./migrate up` goes well once it is mended; says so."""
        if not self.broken:
            return "nothing was broken"
        case, bed = self.broken
        target = _target_of(case)
        case.cure(bed)
        self._write_program(target, bed)  # a cure may be another way of running it
        for name in SERVICES:
            self.release(name)
        return f"{target}: the cause of {case.name} is gone\n  runbook run run-migrations --param database={target}"

    def release(self, name: str, digests: Mapping[str, str] | None = None) -> None:
        """Writes the list of digests that a release brings along: of the files as they are, unless others are given."""
        place = self._place(name)
        known = dict(digests or {})
        for file in () if known else (place / "migrations").iterdir():
            known[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        (place / "SHA256SUMS").write_text("".join(f"{digest}  {file}\n" for file, digest in sorted(known.items())))

    def close(self) -> None:
        """Ends the sessions and processes that a case has left at work."""
        if self.broken:
            self.broken[1].close()
            self.broken = None

    def _place(self, name: str) -> Path:
        return self.folder / name

    def _write_program(self, name: str, bed: Broken | None = None) -> None:
        """`./migrate` and what it is told, in a file that only we may read: the password is in it."""
        place = self._place(name)
        told = (bed.settings if bed else self.known[name].settings()).variables()
        env = place / ".env"
        env.touch(mode=0o600)
        env.write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in told.items()))
        program = place / "migrate"
        words = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m lab.migrate"
        program.write_text(f'#!/bin/sh\n{words} "$@"\n')
        program.chmod(0o755)

    def _settings(self, name: str) -> dict[str, Any]:
        database, place = self.known[name], self._place(name)
        return {
            "host": database.host,
            "port": database.port,
            "dbname": database.dbname,
            "user": database.user,
            "sslmode": "disable",  # on loopback, and the lab's PostgreSQL has no certificate
            "password": f"secret/hoodcloud/app-credentials#{FIELDS[name]}",
            "password_file": str(place / "password"),
            "migrations": str(place / "migrations"),
            "deployed": str(place / "SHA256SUMS"),
            "migrate": [str(place / "migrate"), "up"],
            "migrate_folder": str(place),
            "backup": f"s3://{BUCKET}/migrations",
            "backup_folder": str(place / "backups"),
        }


def _target_of(case: Case) -> str:
    """The runbooks' name for the database in which `case` happens."""
    return next(target for target, (service, _) in SERVICES.items() if service == case.service)
