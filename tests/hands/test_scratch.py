"""Scratch databases are like the live one, disturb nobody, and are gone afterwards, whatever became of the run."""

import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lab.postgres import Postgres
from lab.processes import processes_of
from runbooks.errors import Refused, Unreachable
from runbooks.migrations.catalog import Catalog, Key
from store.settings import Settings
from tasks.migrations import own_server as own
from tasks.migrations.catalog import snapshot
from tasks.migrations.likeness import Likeness, likeness_of, make_alike
from tasks.migrations.scratch import TEMPLATES_KEPT, ScratchServer, server_of
from tests.hands.migrations_bed import OTHERS, SCHEMA, Connection, databases, make_role, params, servers

NOT_FOUND = "DROP TABLE nowhere"


@pytest.fixture(scope="module", params=range(1 + len(OTHERS)), ids=["wheel", *(path.parent.name for path in OTHERS)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with servers(tmp_path_factory.mktemp("servers"))[request.param] as up:
        make_role(up, "migrator", "LOGIN CREATEDB PASSWORD 'quite-secret'")
        make_role(up, "nobody_much", "LOGIN PASSWORD 'quite-secret'")
        make_role(up, "reader")
        yield up


@pytest.fixture
def none_left(server: Postgres) -> Iterator[None]:
    yield
    with server_of(params(server), run="tidying") as place:
        for name in databases(server):
            if name.startswith("runbook_template_"):
                place.conn.execute(f'DROP DATABASE "{name}"'.encode())
    assert databases(server) == []


def as_migrator(server: Postgres, database: str = "postgres") -> dict[str, Any]:
    return params(server, database, user="migrator", password="quite-secret")


def live(server: Postgres, **login: str) -> Likeness:
    with psycopg.connect(**params(server, **login)) as conn:
        return likeness_of(conn)


def build(text: str) -> Callable[[Connection], object]:
    return lambda conn: conn.execute(text.encode())


@contextmanager
def forked(work: Callable[[Callable[[str], None]], object]) -> Iterator[tuple[int, str]]:
    """A child that does `work`, which says one line and is stopped there; its pid and the line."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:

        def say(line: str) -> None:
            os.write(writing, f"{line}\n".encode())
            while True:
                signal.pause()

        try:
            work(say)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            yield pid, pipe.readline().strip()
    finally:
        kill(pid)


def kill(pid: int) -> None:
    """kill -9, and wait for the end."""
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- like the live one ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shaped(server: Postgres) -> Iterator[str]:
    """A live database with settings, an extension, default privileges and an encoding of its own."""
    name = f"live_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' OWNER migrator".encode())
        conn.execute(f'ALTER DATABASE {name} SET search_path = app, "odd, one"'.encode())
        conn.execute(f"ALTER DATABASE {name} SET statement_timeout = '7s'".encode())
        conn.execute(f"ALTER ROLE migrator IN DATABASE {name} SET DateStyle = 'SQL, DMY'".encode())
        conn.execute(f"ALTER DATABASE {name} SET log_statement = 'none'".encode())
    with psycopg.connect(server.url(name), autocommit=True) as conn:
        conn.execute("CREATE SCHEMA app AUTHORIZATION migrator; CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext")
        conn.execute("ALTER DEFAULT PRIVILEGES FOR ROLE migrator GRANT SELECT ON TABLES TO reader")
        conn.execute("ALTER DEFAULT PRIVILEGES FOR ROLE migrator REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        conn.execute("ALTER DEFAULT PRIVILEGES FOR ROLE migrator IN SCHEMA app GRANT ALL ON SEQUENCES TO reader")
    yield name
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_what_the_live_one_is_like(server: Postgres, shaped: str) -> None:
    with psycopg.connect(**as_migrator(server, shaped)) as conn:
        like = likeness_of(conn)
    assert (like.database, like.role, like.encoding) == (shaped, "migrator", "LATIN1")
    assert like.search_path == 'app, "odd, one"'
    assert dict(like.settings) == {"DateStyle": "SQL, DMY", "statement_timeout": "7s"}
    assert like.others == ("log_statement",), "a session of this role may not set it"
    assert [one[:2] for one in like.extensions] == [("hstore", "ext")]
    assert {role.name for role in like.roles} == {"migrator", "reader", "postgres"}
    assert {role.name for role in like.roles if role.superuser} == {"postgres"}
    assert "quite-secret" not in repr(like)
    with psycopg.connect(**as_migrator(server, shaped)) as conn:
        assert likeness_of(conn).digest == like.digest
    assert live(server).digest != like.digest


@pytest.mark.usefixtures("none_left")
def test_scratch_is_like_the_live_one(server: Postgres, shaped: str) -> None:
    with psycopg.connect(**as_migrator(server, shaped)) as conn:
        like = likeness_of(conn)
    text = (
        "CREATE SCHEMA app; CREATE TABLE app.t (a int); CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    with (
        server_of(as_migrator(server), run="1", like=like) as place,
        place.database(like) as db,
    ):
        notes = make_alike(db.conn, like, [text])
        db.conn.execute(text.encode())
        db.conn.execute("SET search_path = pg_catalog; SET DateStyle = ISO; RESET ALL")
        said = {name: db.conn.execute(f"SHOW {name}".encode()).fetchone() for name in ("search_path", "DateStyle")}
        assert said == {"search_path": ('app, "odd, one"',), "DateStyle": ("SQL, DMY",)}
        encoding = db.conn.execute("SELECT pg_encoding_to_char(encoding), current_user::text FROM pg_database"
                                   " WHERE datname = current_database()").fetchone()  # fmt: skip
        assert encoding == ("LATIN1", "migrator")
        found = snapshot(db.conn)
        with psycopg.connect(**as_migrator(server, shaped), autocommit=True) as conn:
            conn.execute(text.replace("CREATE SCHEMA app;", "").encode())
            expected = snapshot(conn)
        # the privileges in one schema cannot be had before a migration has made it
        different = {key for key in expected if expected[key] != found.get(key)}
        assert different == {
            Key("default privileges", "migrator", "IN SCHEMA app SEQUENCES"),
            Key("owner", "SCHEMA", "ext"),
        }
        assert len(notes) == 2 and "log_statement" in notes[0] and "app" in notes[1]


@pytest.mark.usefixtures("none_left")
def test_what_the_files_make_is_left_to_them(server: Postgres, shaped: str) -> None:
    with psycopg.connect(**params(server, shaped)) as conn:
        like = likeness_of(conn)
    text = "CREATE SCHEMA ext; CREATE EXTENSION hstore WITH SCHEMA ext;"
    text += "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader"
    with server_of(params(server), run="1") as place, place.database(like) as db:
        assert make_alike(db.conn, like, [text]) == ()
        before = snapshot(db.conn)
        assert not {key for key in before if key.kind == "default privileges" or key.name == "hstore"}
        db.conn.execute(text.encode())


@pytest.mark.usefixtures("none_left")
def test_what_cannot_be_had_is_noted(server: Postgres) -> None:
    like = live(server)
    wants = replace(like, extensions=(("no_such_thing", "public", "1.0"), ("hstore", "public", "0.1")))
    with server_of(params(server), run="1") as place, place.database(wants) as db:
        notes = make_alike(db.conn, wants)
        assert len(notes) == 2 and "no_such_thing" in notes[0] and "hstore" in notes[1]
        assert any(key.name == "hstore" for key in snapshot(db.conn))


# -- made and gone -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("none_left")
def test_a_copy_is_the_same_and_apart(server: Postgres) -> None:
    like = live(server)
    with server_of(params(server), run="0123-4567-89") as place, place.database(like, build=build(SCHEMA)) as db:
        assert db.built and db.name == f"runbook_scratch_01234567_{place.conn.info.backend_pid}_1"
        before = snapshot(db.conn)
        first = db.conn
        with db.copy() as other, db.copied_session() as third:
            assert first.closed and snapshot(other.conn) == before == snapshot(third)
            other.conn.execute("DROP SCHEMA app CASCADE")
            assert snapshot(db.conn) == before
            assert len(databases(server)) == 3
        assert databases(server) == [db.name]
    assert databases(server) == []


@pytest.mark.usefixtures("none_left")
@pytest.mark.parametrize("where", ["build", "use", "copy"])
def test_an_error_leaves_nothing(where: str, server: Postgres) -> None:
    like = live(server)
    text = NOT_FOUND if where == "build" else ""
    with (
        pytest.raises(psycopg.errors.UndefinedTable),
        server_of(params(server), run="1") as place,
        place.database(like, template="t" * 12, build=build(text), keep_template=False) as db,
    ):
        if where == "copy":
            with db.copy() as other:
                other.conn.execute(NOT_FOUND)
        db.conn.execute(NOT_FOUND)
    assert databases(server) == []


@pytest.mark.usefixtures("none_left")
def test_a_template_is_built_once(server: Postgres) -> None:
    like = live(server)
    with (
        server_of(params(server), run="1") as place,
        place.database(like, template="a1" * 32, build=build(SCHEMA)) as db,
    ):
        assert db.built
        expected = snapshot(db.conn)
    assert databases(server) == ["runbook_template_a1a1a1a1a1a1"]
    with (
        server_of(params(server), run="2") as place,
        place.database(like, template="a1" * 32, build=build(NOT_FOUND)) as db,
        place.database(like, template="b2" * 32, build=build(""), keep_template=False) as other,
    ):
        assert not db.built and other.built
        assert snapshot(db.conn) == expected != snapshot(other.conn)
        assert databases(server, "runbook_template_") == ["runbook_template_a1a1a1a1a1a1"]


@pytest.mark.usefixtures("none_left")
@pytest.mark.parametrize("again", [True, False])
def test_what_may_not_be_kept_is_built_once_a_run(again: bool, server: Postgres) -> None:
    like, digest = live(server), "a3" * 32

    def look(place: ScratchServer) -> tuple[bool, Catalog]:
        made = place.database(like, template=digest, build=build(SCHEMA), keep_template=False, again=again)
        with made as db:
            found = snapshot(db.conn)
            db.conn.execute("DROP SCHEMA app CASCADE")
            return db.built, found

    with server_of(params(server), run="1", alone=again) as place:
        first, second, third = (look(place) for _ in range(3))
        assert first[0] and (second[0], third[0]) == (not again, not again)
        assert first[1] == second[1] == third[1]
        assert len(databases(server)) == int(again)
    assert databases(server) == []


@pytest.mark.usefixtures("none_left")
def test_few_templates_are_kept_and_the_oldest_go(server: Postgres) -> None:
    like = live(server)

    def use(place: ScratchServer, letter: str) -> bool:
        with place.database(like, template=letter * 12, build=build("")) as db:
            return db.built

    with server_of(params(server), run="1") as place:
        assert [use(place, letter) for letter in "abac"] == [True, True, False, True]
        assert databases(server, "runbook_template_") == [f"runbook_template_{letter * 12}" for letter in "ac"]
        assert TEMPLATES_KEPT == 2


@pytest.mark.usefixtures("none_left")
def test_no_superuser_is_needed(server: Postgres) -> None:
    with psycopg.connect(**as_migrator(server)) as conn:
        like = likeness_of(conn)
    with server_of(as_migrator(server), run="1", like=like) as place:
        with place.database(like, template="c" * 12, build=build("CREATE TABLE t (a int)")) as db, db.copy() as other:
            assert snapshot(db.conn)[Key("owner", "TABLE", "public.t")] == "migrator"
            assert snapshot(db.conn) == snapshot(other.conn)
        with place.database(like, template="c" * 12) as db:
            assert not db.built
    assert databases(server) == ["runbook_template_cccccccccccc"]


@pytest.mark.usefixtures("none_left")
def test_a_superuser_makes_them_as_the_role_that_migrates(server: Postgres) -> None:
    with psycopg.connect(**as_migrator(server)) as conn:
        like = likeness_of(conn)
    with server_of(params(server), run="1", like=like) as place, place.database(like) as db:
        assert db.conn.execute("SELECT current_user::text, session_user::text").fetchone() == ("migrator", "migrator")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.conn.execute("CREATE ROLE more")


# -- refused -------------------------------------------------------------------------------------------------------


def test_without_the_right_to_make_databases(server: Postgres) -> None:
    login = params(server, user="nobody_much", password="quite-secret")
    with pytest.raises(Refused, match=r"no-permission") as refused, server_of(login, run="1"):
        pytest.fail("it may not")
    assert "CREATEDB" in refused.value.hint and "quite-secret" not in str(refused.value)


def test_another_version_is_refused(server: Postgres) -> None:
    like = live(server)
    older = replace(like, server_version_num=140_010)
    with (
        pytest.raises(Refused, match=rf"PostgreSQL {like.major}.*14.*scratch-version"),
        server_of(params(server), run="1", like=older),
    ):
        pytest.fail("it is another")
    with (
        server_of(params(server), run="1") as place,
        pytest.raises(Refused, match="scratch-version"),
        place.database(older),
    ):
        pytest.fail("it is another")


def test_a_locale_that_is_not_there_is_refused(server: Postgres) -> None:
    like = live(server)
    other = replace(like, collate="xx_XX.utf8")
    with (
        server_of(params(server), run="1") as place,
        pytest.raises(Refused, match=r"xx_XX.*scratch-failed"),
        place.database(other),
    ):
        pytest.fail("nobody has it")
    assert databases(server) == []


@pytest.mark.parametrize("change", [{"port": "1"}, {"password": "wrong-one"}, {"dbname": "nowhere"}])
def test_a_server_that_does_not_let_us_in(change: dict[str, str], server: Postgres) -> None:
    with pytest.raises(Unreachable, match="scratch-unreachable") as error, server_of(params(server, **change), run="1"):
        pytest.fail("how?")
    assert "wrong-one" not in str(error.value) and error.value.__context__ is None


def test_no_password_is_printed(server: Postgres) -> None:
    like = live(server)
    with server_of(params(server), run="1") as place, place.database(like) as db:
        assert server.password not in f"{place!r} {db!r} {db.conn!r}"


# -- at the same time, and killed ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("none_left")
@pytest.mark.parametrize("second", ["other", "first"], ids=["two runs", "the same run twice"])
def test_two_at_the_same_time_do_not_disturb_each_other(second: str, server: Postgres) -> None:
    like = live(server)
    with server_of(params(server), run="first") as one, one.database(like, build=build(SCHEMA)) as mine:
        mine.conn.execute("BEGIN")
        with server_of(params(server), run=second) as two, two.database(like, build=build(SCHEMA)) as theirs:
            assert theirs.name != mine.name
            assert two.sweep() == () == one.sweep()
            with theirs.copy():
                assert mine.conn.execute("SELECT count(*) FROM app.users").fetchone() == (0,)
        assert databases(server) == [mine.name]
    assert databases(server) == []


@pytest.mark.usefixtures("none_left")
def test_two_that_build_the_same_template(server: Postgres) -> None:
    like = live(server)

    def meanwhile(conn: Connection) -> None:
        conn.execute(SCHEMA.encode())
        with (
            server_of(params(server), run="quicker") as two,
            two.database(like, template="d" * 12, build=build(SCHEMA)),
        ):
            pass

    with server_of(params(server), run="slower") as one, one.database(like, template="d" * 12, build=meanwhile) as db:
        assert db.built and any(key.name == "app.users" for key in snapshot(db.conn))
    assert databases(server) == ["runbook_template_dddddddddddd"]


@pytest.mark.usefixtures("none_left")
@pytest.mark.parametrize("moment", ["building", "using", "copying"])
def test_what_a_killed_run_left_is_swept_by_the_next(moment: str, server: Postgres) -> None:
    like = live(server)

    def work(say: Callable[[str], None]) -> None:
        pause = (lambda _: say("now")) if moment == "building" else build(SCHEMA)
        with (
            server_of(params(server), run="killed") as place,
            place.database(like, template="e" * 12, build=pause) as db,
        ):
            if moment == "using":
                db.conn.execute("BEGIN; LOCK app.users")
                say("now")
            with db.copy():
                say("now")

    with server_of(params(server), run="alive") as place, place.database(like) as mine:
        with forked(work) as (pid, said):
            assert said == "now"
            left = [name for name in databases(server, "runbook_scratch_") if name != mine.name]
            assert len(left) == (2 if moment == "copying" else 1)
            assert place.sweep() == (), "it is alive"
            kill(pid)
        until(
            lambda: not place.conn.execute("SELECT 1 FROM pg_stat_activity WHERE datname = ANY(%s)", [left]).fetchone()
        )
        with server_of(params(server), run="next"):
            assert databases(server, "runbook_scratch_") == [mine.name]
        assert bool(databases(server, "runbook_template_")) == (moment != "building")
        assert mine.conn.execute("SELECT 1").fetchone() == (1,)


def test_what_others_call_alike_is_not_ours(server: Postgres) -> None:
    for name in (
        "runbook_scratch_",
        "runbook_scratch_x",
        "runbook_scratch_x_1_1_more",
        "runbook_scratch_x_1",
        "runbookxscratch_y_1",
    ):
        server.create(name)
    with server_of(params(server), run="1") as place:
        assert place.sweep() == ()
        for name in databases(server, "runbook"):
            place.conn.execute(f"DROP DATABASE {name}".encode())


# -- a server of its own -------------------------------------------------------------------------------------------

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """As /dev/shm is: everybody may write. A short path, since a socket's may not be long."""
    place = Path("/dev/shm") / f"t{uuid.uuid4().hex[:8]}"
    place.mkdir(mode=0o1777)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def like(server: Postgres, shaped: str) -> Likeness:
    with psycopg.connect(**as_migrator(server, shaped)) as conn:
        return likeness_of(conn)


def places(root: Path) -> list[str]:
    return sorted(path.name for path in (root / f"hoodcloud-runbooks-{os.geteuid()}").iterdir() if path.is_dir())


def test_an_own_server_has_what_the_live_one_has(like: Likeness, root: Path) -> None:
    with own.own_server(like, SETTINGS, root=root) as login:
        with psycopg.connect(**login, autocommit=True) as conn:
            assert conn.info.server_version // 10_000 == like.major
            names = {row[0] for row in conn.execute("SELECT rolname::text FROM pg_roles WHERE NOT rolcanlogin")}
            assert {"migrator", "reader"} <= names
            conn.execute(f"GRANT CONNECT ON DATABASE {like.database} TO reader".encode())
        with (
            server_of(login, run="1", like=like) as place,
            place.database(like, build=build("CREATE TABLE public.t (a int)")) as db,
        ):
            make_alike(db.conn, like)
            assert snapshot(db.conn)[Key("owner", "TABLE", "public.t")] == "migrator"
            assert db.conn.execute("SHOW DateStyle").fetchone() == ("SQL, DMY",)
        folder = Path(login["host"]).parent
    assert (folder.parent.stat().st_mode & 0o777, folder.parent.stat().st_uid) == (0o700, os.geteuid())
    assert processes_of(folder) == {}


def test_it_starts_quickly_again_with_its_templates(like: Likeness, root: Path) -> None:
    took = []
    for built in (True, False):
        begin = time.perf_counter()
        with own.own_server(like, SETTINGS, root=root) as login:
            took.append(time.perf_counter() - begin)
            with server_of(login, run="1") as place, place.database(like, template="f" * 12, build=build("")) as db:
                assert db.built == built
    print("first and second start:", took)
    assert took[1] < 1


def test_a_second_run_has_a_folder_of_its_own(like: Likeness, root: Path) -> None:
    major = like.major
    with own.own_server(like, SETTINGS, root=root) as one, own.own_server(like, SETTINGS, root=root) as two:
        assert one["host"] != two["host"]
        assert places(root) == [f"pg{major}-0", f"pg{major}-1"]
    assert places(root) == [f"pg{major}-0"]


def test_nothing_runs_or_lies_about_after_kill_9(like: Likeness, root: Path) -> None:
    def work(say: Callable[[str], None]) -> None:
        with own.own_server(like, SETTINGS, root=root) as login, psycopg.connect(**login) as conn:
            row = conn.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
            assert row is not None
            say(row[0].split()[0])

    with own.own_server(like, SETTINGS, root=root):
        with forked(work) as (pid, postmaster):
            assert Path(f"/proc/{postmaster}").exists()
            kill(pid)
            until(lambda: not Path(f"/proc/{postmaster}").exists())
            assert len(places(root)) == 2
        with own.own_server(like, SETTINGS, root=root):
            assert places(root) == [f"pg{like.major}-0", f"pg{like.major}-1"]
    assert places(root) == [f"pg{like.major}-0"]
    with forked(work) as (pid, postmaster):  # the kept folder, killed in the middle
        kill(pid)
    until(lambda: not Path(f"/proc/{postmaster}").exists())
    with own.own_server(like, SETTINGS, root=root) as login, psycopg.connect(**login) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert places(root) == [f"pg{like.major}-0"]


def test_a_killed_keeper_takes_its_server_with_it(like: Likeness, root: Path) -> None:
    with own.own_server(like, SETTINGS, root=root) as login:
        keeper = next(
            pid
            for pid, command in processes_of(Path("/")).items()
            if "keeper.py" in command and login["host"] in command
        )
        with psycopg.connect(**login) as conn:
            os.kill(keeper, signal.SIGKILL)
            until(lambda: not _answers(conn))
    with own.own_server(like, SETTINGS, root=root) as login, psycopg.connect(**login) as conn:
        assert _answers(conn)


def _answers(conn: Connection) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_folder_of_somebody_else_is_not_used(like: Likeness, root: Path) -> None:
    folder = root / f"hoodcloud-runbooks-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    for _ in ("open to others", "a link"):
        with pytest.raises(Refused, match="no-scratch-server"), own.own_server(like, SETTINGS, root=root):
            pytest.fail("it is not ours")
        folder.rmdir() if not folder.is_symlink() else folder.unlink()
        folder.symlink_to(root)


def test_a_version_that_is_not_installed_is_told(like: Likeness, root: Path) -> None:
    older = replace(like, server_version_num=90_600)
    with (
        pytest.raises(Refused, match=r"PostgreSQL 9.*no-scratch-server") as refused,
        own.own_server(older, SETTINGS, root=root),
    ):
        pytest.fail("nobody has it")
    assert "RUNBOOK_POSTGRES_FOLDER" in refused.value.hint
