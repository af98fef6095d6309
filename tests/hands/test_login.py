"""Logging in to PostgreSQL: where the password comes from, what an error says, and whether PgBouncer is between."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lab.postgres import Postgres, _unprivileged
from lab.server import Server
from lab.vault import VaultCluster
from runbooks.errors import BadRequest, Refused, RunbookError, Unreachable
from store.migrated import Login
from store.settings import Settings
from tasks.migrations import login, s3
from tests.conftest import environment_of

IN_VAULT = "secret/hoodcloud/app-credentials#database_password"


def login_to(postgres: Postgres, **more: Any) -> Login:
    return Login(**{"port": postgres.ports[0], "user": "postgres", "sslmode": "prefer", **more})


def file_with(folder: Path, content: bytes, mode: int = 0o400) -> Path:
    file = folder / "password"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def settings_of(vault: VaultCluster, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    for name, value in {**environment_of(vault, folder), **more}.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.fixture
def vault(sealed: VaultCluster) -> VaultCluster:
    sealed.unseal()
    return sealed


def test_the_password_of_a_file_lets_us_in(postgres: Postgres, tmp_path: Path) -> None:
    file = file_with(tmp_path, f"{postgres.password}\n".encode())
    params, notice = login.params_of(login_to(postgres, password_file=file), "postgres", Settings())
    assert notice == ""
    with login.connect(params, read_only=True, limit_s=1.5) as conn:
        shown = conn.execute(
            "SELECT current_setting('statement_timeout'), current_setting('application_name'), current_user"
        ).fetchone()
        assert (shown, conn.autocommit) == (("1500ms", "hoodcloud-runbooks", "postgres"), True)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            conn.execute("CREATE TABLE written(id int)")


def test_a_statement_ends_at_its_limit(postgres: Postgres, tmp_path: Path) -> None:
    file = file_with(tmp_path, postgres.password.encode())
    params, _ = login.params_of(login_to(postgres, password_file=file), "postgres", Settings())
    with login.connect(params, limit_s=0.05) as conn, pytest.raises(psycopg.errors.QueryCanceled):
        conn.execute("SELECT pg_sleep(30)")


# A newcomer adds a case here: what is in the file, its mode, the reference of the error.
BAD_FILES = {
    "others read it": (b"secret", 0o444, "password-file-open"),
    "the group reads it": (b"secret", 0o440, "password-file-open"),
    "others write it": (b"secret", 0o602, "password-file-open"),
    "empty": (b"\n", 0o400, "password-file-missing"),
    "no text": (b"\xff\xfe", 0o600, "password-file-missing"),
    "a zero in it": (b"se\0cret", 0o600, "password-file-missing"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_will_not_do(tmp_path: Path, case: str) -> None:
    content, mode, reference = BAD_FILES[case]
    file = file_with(tmp_path, content, mode)
    with pytest.raises(BadRequest) as failed:
        login.params_of(Login(user="app", password_file=file), "app", Settings())
    assert (failed.value.reference, "secret" in str(failed.value).replace("secret-", "")) == (reference, False)


def test_no_file_a_folder_and_a_pipe_are_no_password(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o400)
    for file in (tmp_path / "none", tmp_path, tmp_path / "pipe"):
        with pytest.raises(BadRequest, match="password-file-missing"):
            login.params_of(Login(user="app", password_file=file), "app", Settings())


def test_without_any_password_none_is_given() -> None:
    params, notice = login.params_of(Login(user="app", ca_file=Path("/ca.pem")), "app", Settings())
    assert ("password" in params, notice, params["sslrootcert"]) == (False, "", "/ca.pem")
    params, notice = login.params_of(Login(user="app", password=IN_VAULT), "app", Settings())
    assert ("password" in params, notice) == (False, "no Vault is set, so no password is given")


def test_no_vault_is_set_and_a_file_is(tmp_path: Path) -> None:
    file = file_with(tmp_path, b" a password with blanks \r\n", 0o600)
    params, notice = login.params_of(Login(user="app", password=IN_VAULT, password_file=file), "app", Settings())
    assert params["password"] == " a password with blanks "
    assert notice == f"no Vault is set, the password came from {file}"


def test_the_password_comes_from_vault(vault: VaultCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_with(tmp_path, b"of the file")
    settings = settings_of(vault, tmp_path, monkeypatch)
    params, notice = login.params_of(Login(user="app", password=IN_VAULT, password_file=file), "app", settings)
    known = vault.root_client().secrets.kv.v2.read_secret_version(
        "hoodcloud/app-credentials", mount_point="secret", raise_on_deleted_version=True
    )
    assert (params["password"], notice) == (known["data"]["data"]["database_password"], "")
    assert params["password"] not in repr(params) + str(params) + f"{params}"


def test_the_keys_of_s3_come_from_vault(vault: VaultCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"RUNBOOK_S3_KEY_ID": "redis_password", "RUNBOOK_S3_SECRET_KEY": "database_password"}
    more = {name: f"secret/hoodcloud/app-credentials#{field}" for name, field in names.items()}
    settings = settings_of(vault, tmp_path, monkeypatch, **more)
    known = vault.root_client().secrets.kv.v2.read_secret_version(
        "hoodcloud/app-credentials", mount_point="secret", raise_on_deleted_version=True
    )["data"]["data"]
    with closing(s3.client(settings)) as client:
        found = client._get_credentials()
        assert (found.access_key, found.secret_key) == (known["redis_password"], known["database_password"])


def test_while_vault_is_sealed_the_file_serves(
    sealed: VaultCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_with(tmp_path, b"of the file")
    settings = settings_of(sealed, tmp_path, monkeypatch)
    params, notice = login.params_of(Login(user="app", password=IN_VAULT, password_file=file), "app", settings)
    assert (params["password"], notice) == ("of the file", f"Vault is away, the password came from {file}")
    with pytest.raises(Unreachable, match="vault-unreachable"):
        login.params_of(Login(user="app", password=IN_VAULT), "app", settings)


# A newcomer adds a case here: what is asked for, what of the environment is changed, the reference of the refusal.
WITHDRAWN = {
    "no such secret": ("secret/hoodcloud/nothing-here#x", {}, "credentials-refused"),
    "no such field": ("secret/hoodcloud/app-credentials#nothing_here", {}, "password-missing"),
    "no such role": (IN_VAULT, {"VAULT_ROLE_ID": "00000000-0000-0000-0000-000000000000"}, "approle-refused"),
}


@pytest.mark.parametrize("case", WITHDRAWN)
def test_what_vault_refuses_does_not_come_back_from_the_file(
    vault: VaultCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    reference, environment, error = WITHDRAWN[case]
    settings = settings_of(vault, tmp_path, monkeypatch, **environment)
    file = file_with(tmp_path, b"of the file")
    with pytest.raises(Refused) as refused:
        login.params_of(Login(user="app", password=reference, password_file=file), "app", settings)
    assert refused.value.reference == error


# A newcomer adds a case here: what is wrong in the parameters, the error and its reference.
NO_ENTRY: dict[str, tuple[dict[str, Any], type[RunbookError], str]] = {
    "wrong password": ({"password": "canary-wrong-password"}, Refused, "database-login-refused"),
    "no password": ({"password": None, "passfile": "/dev/null"}, Refused, "database-login-refused"),
    "no such role": ({"user": "nobody-here"}, Refused, "database-login-refused"),
    "may not log in": ({"user": "pg_monitor"}, Refused, "database-login-refused"),
    "no such database": ({"dbname": "nothing here"}, Refused, "database-missing"),
    "nobody listens": ({"port": 1}, Unreachable, "database-unreachable"),
    "no such host": ({"host": "no.such.host.invalid"}, Unreachable, "database-unreachable"),
    "no TLS there": ({"sslmode": "require"}, Unreachable, "database-unreachable"),
}


@pytest.mark.parametrize("case", NO_ENTRY)
def test_why_one_is_not_let_in(postgres: Postgres, caplog: pytest.LogCaptureFixture, case: str) -> None:
    changed, kind, reference = NO_ENTRY[case]
    wanted = {"host": "127.0.0.1", "port": postgres.ports[0], "user": "postgres", "dbname": "postgres"}
    wanted |= {"password": postgres.password, "connect_timeout": 5, **changed}
    params = login.Params({name: value for name, value in wanted.items() if value is not None})
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as failed:
        login.connect(params, limit_s=5)
    assert failed.value.reference == reference
    assert failed.value.__cause__ is failed.value.__context__ is None, "psycopg's error holds the password"
    for secret in (postgres.password, "canary-wrong-password"):
        assert secret not in f"{failed.value}{failed.value.__dict__}{caplog.text}"


class PgBouncer(Server):
    """PgBouncer in transaction mode before a PostgreSQL."""

    def __init__(self, folder: Path, behind: Postgres) -> None:
        super().__init__(folder)
        self.behind = behind

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    def prepare(self) -> None:
        (self.folder / "users").write_text(f'"postgres" "{self.behind.password}"\n')
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.behind.ports[0]}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.ports[0]}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {self.folder / 'users'}\npool_mode = transaction\ndefault_pool_size = 1\n"
        )

    def command(self) -> Sequence[str]:
        return [*_unprivileged(), str(shutil.which("pgbouncer")), str(self.folder / "pgbouncer.ini")]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.behind.url().replace(self.behind.address, self.address), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def pgbouncer(postgres: Postgres, tmp_path: Path) -> Iterator[PgBouncer]:
    if not shutil.which("pgbouncer"):
        pytest.skip("pgbouncer is not installed")
    with PgBouncer(tmp_path / "pgbouncer", postgres) as running:
        yield running


def test_pgbouncer_is_noticed_and_nothing_is_left_in_its_pool(postgres: Postgres, pgbouncer: PgBouncer) -> None:
    params = {"host": "127.0.0.1", "user": "postgres", "dbname": "postgres", "password": postgres.password}
    with login.connect({**params, "port": postgres.ports[0]}, limit_s=7) as direct:
        assert not login.pooled(direct)
    with login.connect({**params, "port": pgbouncer.ports[0]}, read_only=True, limit_s=7) as between:
        assert login.pooled(between)
    with psycopg.connect(**params, port=pgbouncer.ports[0], autocommit=True) as somebody:  # the pool's one session
        shown = somebody.execute(
            "SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')"
        )
        assert shown.fetchone() == ("0", "off")
