"""`kill -9` at every point that a successor can tell apart; then the run is simply started again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from lab.dirty_cases import CASES, Broken, Case, happen
from lab.hoodcloud_database import HoodcloudDatabases
from lab.s3 import REGION, S3
from store import journal
from store.database import Database
from tests.order.forked_runs import KILLED, Ended, Forked
from tests.order.migrations_bed import (
    NAME,
    Seen,
    environment,
    look,
    mend,
    never_broken,
    nothing_left,
    seen,
    settings_of_case,
)

BUCKET = "hoodcloud-backups"

# A newcomer adds a case here: what was broken, and what of the settings is not as usual.
SCENES: dict[str, tuple[str, dict[str, Any]]] = {
    "partly-applied": ("committed-half", {}),
    "invalid-index": ("index-on-duplicates", {"keep_template": False}),
    "rolled-back": ("typo", {"backup": f"s3://{BUCKET}/migrations"}),
}


MAY_VARY = 10
"""How many questions fewer a look may need than another: it asks until a session is gone."""


@dataclass
class Scene:
    """One broken database, just after its plan was made, to be had again and again."""

    case: Case
    databases: HoodcloudDatabases
    folder: Path
    recover: Forked
    s3: S3
    more: dict[str, Any]
    bed: Broken = field(init=False)
    known: dict[str, str] = field(init=False)
    digest: str = field(init=False)
    well: Seen = field(init=False)
    whole: Ended = field(init=False)

    def prepare(self) -> None:
        """Break it, plan, keep database and store as they are then, and see what a run to its end is like."""
        self.bed = happen(self.case, self.databases, self.folder / "migrations")
        settings = settings_of_case(self.case, self.bed, self.folder, **self.more)
        self.known = environment(
            self.folder,
            settings,
            RUNBOOK_POSTGRES_FOLDER=str(self.databases.server.binaries),  # or there are as many programs as places
            RUNBOOK_S3_ENDPOINT=self.s3.address,
            RUNBOOK_S3_REGION=REGION,
            AWS_ACCESS_KEY_ID=self.s3.key_id,
            AWS_SECRET_ACCESS_KEY=self.s3.secret,
        )
        self.digest = look(self.recover, self.known).digest
        self.well = never_broken(self.case, self.bed, self.databases, self.folder / "never-broken")
        self.bed.close()
        nothing_left(self.databases.server)
        self._as_superuser("ALTER DATABASE {} RENAME TO {}", self.name, self.kept)
        shutil.copytree(self.folder, self.store, ignore=lambda _, names: {n for n in names if "store.db" not in n})
        with self.again():
            self.whole = look(self.recover, self.known, approve=self.digest)
            assert self.whole.ending == "done", self.whole.error
            self.check()

    @property
    def name(self) -> str:
        return self.bed.database.dbname

    @property
    def kept(self) -> str:
        return f"kept_{self.name}"

    @property
    def store(self) -> Path:
        return self.folder / "kept-store"

    @contextmanager
    def again(self) -> Iterator[None]:
        """Database, store and backups as they were when the plan had been made; dropped at the end."""
        shutil.rmtree(self.folder / "backups", ignore_errors=True)
        for file in self.folder.glob("store.db*"):
            file.unlink()
        for file in self.store.iterdir():
            shutil.copy(file, self.folder / file.name)
        for key in self.s3.objects(BUCKET):
            self.s3.client().delete_object(Bucket=BUCKET, Key=key)
        owner = self.bed.database.user
        self._as_superuser("CREATE DATABASE {} OWNER {} TEMPLATE {}", self.name, owner, self.kept)
        try:
            yield
        finally:
            self.databases.drop(self.bed.database)

    def check(self) -> None:
        """Mended as if it had never been broken, with one backup; nothing of any run is left; the journal is whole."""
        after = seen(self.bed)
        assert [row[:2] for row in after.versions] == [(self.case.target, False)]
        assert (after.catalog, after.rows) == (self.well.catalog, self.well.rows)
        files = sorted(file.name for file in (self.folder / "backups").glob("*"))
        keys = [key.removeprefix("migrations/") for key in sorted(self.s3.objects(BUCKET))]
        made, none = (keys, files) if "backup" in self.more else (files, keys)
        assert none == []
        assert len(made) == 2 and made == [made[0], f"{made[0]}.sha256"], made
        nothing_left(self.databases.server)
        db = Database.open(self.known["RUNBOOK_STORE_URL"])
        try:
            assert journal.verify(db).faults == ()
        finally:
            db.close()

    def _as_superuser(self, words: str, *names: str) -> None:
        with psycopg.connect(self.databases.server.url(), autocommit=True) as conn:
            conn.execute(sql.SQL(words).format(*map(sql.Identifier, names)))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with S3(tmp_path_factory.mktemp("s3")) as running:
        running.bucket(BUCKET)
        yield running


@pytest.fixture(scope="module")
def scenes(
    recover: Forked, migrated: HoodcloudDatabases, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Scene]:
    found = {}
    for name, (case, more) in SCENES.items():
        found[name] = Scene(CASES[case], migrated, tmp_path_factory.mktemp(name), recover, s3, more)
        found[name].prepare()
    return found


# A newcomer adds a case here: when it dies (`forked_runs.WHEN`), the first point, and the distance to the next.
FEW = [("before", 3, 9), ("after", 7, 9), ("sent", 2, 17), ("answered", 11, 17), ("program", 1, 1)]
ALL = [("before", 1, 1), ("after", 1, 1), ("sent", 1, 3), ("answered", 2, 3), ("looking", 1, 9)]


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(
    ("when", "first", "every"), [*FEW, *(pytest.param(*one, marks=pytest.mark.long) for one in ALL)]
)
def test_a_run_killed_anywhere_is_finished_by_starting_it_again(
    scenes: dict[str, Scene], name: str, when: str, first: int, every: int
) -> None:
    scene = scenes[name]
    last = {
        "looking": scene.whole.looks - MAY_VARY,
        "sent": scene.whole.statements,
        "answered": scene.whole.statements,
        "program": scene.whole.programs,
    }.get(when, scene.whole.writes)
    assert last >= first
    for at in range(first, last + 1, every):
        with scene.again():
            ended = scene.recover.run(scene.known, at, when, database=NAME, approve=scene.digest)
            assert ended.status == KILLED, f"a run comes to its end before {when} {at}: {ended}"
            again = mend(scene.recover, scene.known)
            assert again.ending in ("done", "nothing to do"), f"after {when} {at}: {again}"
            scene.check()
