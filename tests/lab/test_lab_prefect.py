"""The lab's Prefect: server, worker, deployments, and what a worker leaves behind."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.prefect import CALLS_NOBODY, PrefectServer, PrefectWorker, deploy
from lab.processes import processes_of
from lab.server import LabBroken

FLOW = """
import os, subprocess
from prefect import flow

@flow(log_prints=True)
def wait(seconds: int) -> None:
    print("told", os.environ["TOLD"])
    subprocess.run(["sleep", str(seconds)], check=True)
"""
DEPLOYMENTS = """
name: practice
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $PRACTICE }}"}
deployments:
  - name: wait
    entrypoint: waiting.wait
    work_pool: {name: hoodcloud}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one flow."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "waiting.py").write_text(FLOW)
    (folder / "prefect.yaml").write_text(DEPLOYMENTS)
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    """A server on SQLite."""
    with PrefectServer(tmp_path / "server") as server:
        yield server
    assert processes_of(tmp_path) == {}


def run(server: PrefectServer, seconds: int) -> str:
    """Starts a run of the deployment; its id."""
    deployment = server.ask("deployments/name/wait/wait")
    parameters = {"parameters": {"seconds": seconds}}
    return str(server.ask(f"deployments/{deployment['id']}/create_flow_run", parameters)["id"])


def state(server: PrefectServer, run: str) -> str:
    """What has become of it."""
    return str(server.ask(f"flow_runs/{run}")["state"]["type"])


def until(condition: Callable[[], Any], within_s: float = 30) -> None:
    """Waits for `condition`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_a_worker_runs_what_was_deployed_and_leaves_no_flow_behind(
    server: PrefectServer, project: Path, tmp_path: Path
) -> None:
    assert server.ask("admin/settings")["server"]["analytics_enabled"] is False
    with PrefectWorker(tmp_path / "worker", server, {"TOLD": "so"}) as worker:
        deploy(server, project, {"PRACTICE": str(project)})
        short, endless = run(server, 0), run(server, 1000)
        until(lambda: state(server, short) == "COMPLETED")
        until(lambda: "sleep 1000 " in processes_of(tmp_path).values())
        assert "told so" in worker.log_end(100)
        worker.stop()
        assert list(processes_of(tmp_path / "worker")) == []
        assert state(server, endless) == "RUNNING", "nobody is left to say otherwise"
        assert worker.start().address == "hoodcloud/lab-2"
        server.kill()
        server.start()
        assert state(server, short) == "COMPLETED", "it remembers"
    with pytest.raises(LabBroken, match="No such file") as broken:
        deploy(server, tmp_path)
    assert "deploy.log" in broken.value.hint


@pytest.mark.parametrize("taken", [False, True])
def test_the_port_that_was_wished_for_is_used_if_it_is_free(tmp_path: Path, taken: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = PrefectServer(tmp_path, port=port)
        if not taken:
            listener.close()
        assert (server.choose_ports() == (port,)) is not taken


def test_what_prefect_starts_is_told_to_call_nobody(tmp_path: Path) -> None:
    server = PrefectServer(tmp_path / "server")
    server.ports = (1,)
    worker = PrefectWorker(tmp_path / "worker", server)
    for variables in (server.environment(), worker.environment()):
        assert CALLS_NOBODY.items() <= variables.items()
        assert Path(variables["PREFECT_HOME"]).is_relative_to(tmp_path)
