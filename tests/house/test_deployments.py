"""What `deployments/` says is true: of the code, of Prefect, of systemd, and of itself.

What it says of running servers is in `test_installation.py`.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_settings_fields
from prefect.workers.process import ProcessJobConfiguration
from pydantic import AliasChoices, BaseModel, SecretStr

from runbooks.catalogue import runbook
from runbooks.consent import Door, Origin
from store import journal, settings
from store.database import Database
from store.migrated import MigratedDatabase

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "deployments"
PAGE = (HERE / "README.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
UNITS = sorted((HERE / "systemd").glob("*.service"))
ENV_FILES = [HERE / "prefect-server.env", HERE / "prefect-worker.env"]

HOODCLOUDS_PORTS = {80, 443, 4222, 4223, 5432, 6379, 7233, 8080, 8081, 8088, 9090, 50051}
READ_BY_PREFECT_ALONE = {"DO_NOT_TRACK", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PREFECT_SERVER_ENCRYPTION_KEY"}
"""Names that Prefect or its HTTP client takes from the environment without declaring them as settings."""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> dict[str, list[str]]:
    """The tables of a section of the page by their first cell, if that is a name."""
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in section(title).splitlines() if line.startswith("| `")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in cells}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def declared() -> dict[str, tuple[str, Any]]:
    """Every setting by each name that the environment may use: the field's name and the field."""
    found = {}
    for name, field in settings.Settings.model_fields.items():
        alias = field.validation_alias
        for one in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            found[str(one)] = (name, field)
    return found


# -- the page and the code ------------------------------------------------------------------------------------------


def test_the_table_has_every_setting_and_invents_none() -> None:
    read_elsewhere = {"RUNBOOK_ENV_FILE", "RUNBOOK_ROOT", "XDG_STATE_HOME", "CREDENTIALS_DIRECTORY"}
    assert set(rows("All settings")) == set(declared()) | read_elsewhere


@pytest.mark.parametrize("name", declared())
def test_a_row_of_the_table_says_the_default_and_what_is_secret(name: str) -> None:
    meaning, default, _example, secret = rows("All settings")[name]
    field = declared()[name][1]
    assert meaning
    if field.default_factory is None:
        assert default == {None: "none", "": "none"}.get(field.default, f"`{field.default}`")
    assert secret.startswith("yes") == (SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ())))


def test_names_that_are_read_beside_the_settings_are_on_the_page() -> None:
    files = [path for room in ("store", "keys", "channels", "tasks", "gateway") for path in (ROOT / room).rglob("*.py")]
    read = {name for path in files for name in re.findall(r'environ(?:\.get\(|\[)"(\w+)"', path.read_text())}
    assert read and read <= set(rows("All settings"))


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("One Vault cluster", settings.VaultCluster),
        ("One migrated database", MigratedDatabase),  # with the fields of Login, which it inherits
        ("Policies", settings.PolicyChange),
    ],
)
def test_the_tables_of_nested_settings_are_complete(title: str, model: type[BaseModel]) -> None:
    assert set(rows(title)) == set(model.model_fields)


def load(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    for name in (*declared(), "RUNBOOK_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "runbooks.env").write_text(text)
    return settings.load(str(tmp_path / "runbooks.env"))


@pytest.mark.parametrize("line", re.findall(r"^RUNBOOK_POLICIES=.*", PAGE, re.MULTILINE))
def test_policies_on_the_page_make_sense(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = runbook("unseal-vault")
    assert load(tmp_path, line, monkeypatch).policy(book) != book.policy


@pytest.mark.parametrize("line", re.findall(r"^RUNBOOK_VAULT_CLUSTERS=.*", PAGE, re.MULTILINE))
def test_every_cluster_on_the_page_loads(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(load(tmp_path, line, monkeypatch).cluster("hoodcloud").nodes) == 2


def test_the_database_on_the_page_loads_and_is_the_one_of_the_example_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = re.findall(r"^RUNBOOK_DATABASES=.*", PAGE, re.MULTILINE)
    known = load(tmp_path, line, monkeypatch).database("control-plane")
    assert (known.files_are_deployed, known.scratch, known.migrate[-1]) == (True, "same-server", "up")
    assert f"#{line}\n" in (HERE / "runbooks.env.example").read_text()


@pytest.mark.parametrize("comments", ["as it is", "signs taken off"])
def test_the_example_file_loads_and_reads_the_same_for_everybody(
    comments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (HERE / "runbooks.env.example").read_text()
    whole = comments == "signs taken off"
    if whole:
        text = re.sub(r"(?m)^#(?=[A-Z0-9_]+=)", "", text)
    known = load(tmp_path, text, monkeypatch)
    assert known.cluster("hoodcloud").custody == "quorum"
    assert (bool(known.databases), bool(known.s3_key_id), bool(known.s3_secret_key)) == (whole, whole, whole)
    example = tmp_path / "example"
    example.write_text(text)
    by_dotenv = dict(dotenv_values(example))
    assert set(by_dotenv) <= set(declared())
    by_shell = subprocess.run(
        ["sh", "-c", f". {example}; " + "; ".join(f'printf "%s\\0" "${name}"' for name in by_dotenv)],
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")[:-1]
    assert dict(zip(by_dotenv, by_shell, strict=True)) == by_dotenv
    for line in text.splitlines():  # of what systemd.exec(5) makes special, only single quotes are used
        assert re.fullmatch(r"|#.*|[A-Z0-9_]+=('[^'$\\]*'|[^'\"$\\ ]*)", line), line


# -- Prefect --------------------------------------------------------------------------------------------------------


def prefects_names() -> set[str]:
    in_compose = {name for service in SERVICES.values() for name in service.get("environment", {})}
    targets = {one["target"] for service in SERVICES.values() for one in service.get("secrets", []) if "target" in one}
    in_units = set(re.findall(r"^Environment=(\w+)", "\n".join(path.read_text() for path in UNITS), re.MULTILINE))
    on_page = set(re.findall(r"^(PREFECT_\w+)=", PAGE, re.MULTILINE))
    in_files = {name for path in ENV_FILES for name in dotenv_values(path)}
    ours = set(rows("All settings")) | {"TMPDIR"} | {name for name in in_compose if name.startswith("POSTGRES_")}
    return (in_compose | targets | in_units | in_files | on_page) - ours


def test_every_other_name_is_one_that_prefect_knows() -> None:
    known = {name.upper() for name in _get_settings_fields(PrefectSettings)}
    assert prefects_names() - known - READ_BY_PREFECT_ALONE == set()
    source = Path(sys.modules["prefect"].__path__[0], "server/utilities/encryption.py").read_text()
    assert "PREFECT_SERVER_ENCRYPTION_KEY" in source, "else it is nobody's"


@pytest.mark.parametrize("file", ENV_FILES, ids=lambda file: file.name)
def test_prefect_accepts_what_it_is_told(file: Path) -> None:
    said = "from prefect.settings import get_current_settings as s; print(s().model_dump_json())"
    environment = {"PATH": os.environ["PATH"], **{k: v or "" for k, v in dotenv_values(file).items()}}
    done = subprocess.run([sys.executable, "-c", said], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if file.name == "prefect-server.env":
        assert (told["server"]["analytics_enabled"], told["server"]["api"]["csrf_protection_enabled"]) == (False, False)
        assert "*" not in told["server"]["api"]["cors_allowed_origins"]
        assert told["server"]["database"]["port"] not in HOODCLOUDS_PORTS
    else:
        assert told["server"]["ephemeral"]["enabled"] is False
        assert told["flows"]["heartbeat_frequency"] == 30
        assert told["worker"]["webserver"] == {"host": "127.0.0.1", "port": 4201}


def test_a_run_gets_the_credentials_of_the_workers_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/runbook-worker.service")
    monkeypatch.setenv("RUNBOOK_ENV_FILE", "/etc/hoodcloud-runbooks/runbooks.env")
    job = ProcessJobConfiguration(command="python -m prefect.engine")
    job.prepare_for_flow_run(type("Run", (), {"id": "1", "name": "n", "parameters": {}, "labels": {}})())
    assert job.env["CREDENTIALS_DIRECTORY"] == "/run/credentials/runbook-worker.service"
    assert job.env["RUNBOOK_ENV_FILE"] == "/etc/hoodcloud-runbooks/runbooks.env"


def test_a_run_needs_no_pipe_of_its_worker() -> None:
    """Else it dies of its next line of output after the worker was restarted."""
    pool = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["runs"]["work_pool"]
    assert pool["job_variables"]["stream_output"] is False


# -- backup ---------------------------------------------------------------------------------------------------------


def test_the_backup_on_the_page_holds_what_was_written_a_moment_ago(tmp_path: Path) -> None:
    store, copy = tmp_path / "store.db", tmp_path / "copy.db"
    (command,) = [block for block in blocks("sh") if "VACUUM INTO" in block]
    command = command.replace("/opt/hoodcloud-runbooks/.venv/bin/python", sys.executable)
    command = command.replace("/var/lib/hoodcloud-runbooks/store.db", str(store))
    command = command.replace("/var/backups/runbooks-store.db", str(copy))
    db = Database.open(f"sqlite:///{store}")
    with db.write() as conn:
        origin = Origin("1", Door.COMMAND_LINE, "alice")
        journal.append(conn, event="planned", run=origin.run, target="vault/hoodcloud", data={"who": origin.person})
    assert (tmp_path / "store.db-wal").stat().st_size > 0, "the row is not in store.db yet"
    subprocess.run(["sh", "-euc", command], check=True)
    db.close()
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as conn:
        assert conn.execute("SELECT event FROM journal").fetchall() == [("planned",)]
    restored = Database.open(f"sqlite:///{copy}")
    assert journal.verify(restored).faults in ((), [])
    restored.close()
