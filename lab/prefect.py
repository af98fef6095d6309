"""Prefect: a server with its UI, a process worker, and the deployments of `prefect.yaml`. Calls nobody outside."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lab.ports import free_port, is_free
from lab.server import LabBroken, Server

POOL = "hoodcloud"

CALLS_NOBODY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # whatever else wants out (Prefect fetches lists of integrations from GitHub) finds a proxy that refuses
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    "NO_PROXY": "127.0.0.1,localhost",
}
"""Variables that keep Prefect, and what it starts, on this machine."""

_QUIET = {"PREFECT_CLI_PROMPT": "false", "PREFECT_CLI_COLORS": "false", "PYTHONUNBUFFERED": "1"}
_PREFECT = (sys.executable, "-m", "prefect")


class PrefectServer(Server):
    """The API and the UI, on `port` if that is free, else on another. Its database is SQLite unless a URL is given."""

    start_limit_s: ClassVar[float] = 120

    def __init__(self, folder: Path, database_url: str = "", port: int = 0) -> None:
        super().__init__(folder, "prefect-server")
        self.database_url = database_url or f"sqlite+aiosqlite:///{self.folder / 'prefect.db'}"
        self.port = port

    @property
    def address(self) -> str:
        """The UI."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def api(self) -> str:
        """What PREFECT_API_URL must be."""
        return f"{self.address}/api"

    def choose_ports(self) -> tuple[int, ...]:
        """The port that was wished for, if it is free."""
        return (self.port if self.port and is_free(self.port) else free_port(),)

    def command(self) -> Sequence[str]:
        """In the foreground; the keeper does the rest."""
        return (*_PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self.ports[0]))

    def environment(self) -> Mapping[str, str]:
        """A home of its own, nothing from the user's profile."""
        url = self.database_url.replace("postgresql://", "postgresql+asyncpg://")
        return {
            **CALLS_NOBODY,
            **_QUIET,
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": url,
            "PREFECT_UI_API_URL": self.api,
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        }

    def answers(self) -> bool:
        """`/api/health` says true."""
        return self.ask("health") is True

    def ask(self, path: str, body: object = None) -> Any:
        """The API's answer: GET, or POST when there is a body. Raises: OSError (an HTTPError for a refusal)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        """Deletes what is at `path`. Raises: OSError."""
        request = urllib.request.Request(f"{self.api}/{path}", method="DELETE")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()

    def client_environment(self, home: Path) -> dict[str, str]:
        """What a client of this server needs: a worker, a flow, `prefect` on the command line."""
        return {**CALLS_NOBODY, **_QUIET, "PREFECT_HOME": str(home), "PREFECT_API_URL": self.api}


class PrefectWorker(Server):
    """A process worker of `server`, which makes its pool if there is none. `settings` reach the flows that it runs."""

    ports_wanted: ClassVar[int] = 0

    def __init__(
        self, folder: Path, server: PrefectServer, settings: Mapping[str, str] | None = None, pool: str = POOL
    ) -> None:
        super().__init__(folder, "prefect-worker")
        self.server, self.settings, self.pool = server, dict(settings or {}), pool
        self.starts = 0

    @property
    def address(self) -> str:
        """It listens nowhere; this is how it is called in its pool."""
        return f"{self.pool}/{self._called}"

    def prepare(self) -> None:
        """Another name for each start: the server goes on showing a dead worker as online for a while."""
        self.starts += 1

    def command(self) -> Sequence[str]:
        """With `--type`, the pool is made when it is missing."""
        return (*_PREFECT, "worker", "start", "--pool", self.pool, "--type", "process", "--name", self._called)

    def environment(self) -> Mapping[str, str]:
        """Asks for work every second, and has a temporary folder: Prefect's one below /tmp may be another user's."""
        home = self.server.client_environment(self.folder / "home")
        return {**home, "PREFECT_WORKER_QUERY_SECONDS": "1", "TMPDIR": str(self.folder), **self.settings}

    def answers(self) -> bool:
        """The server has had its first sign of life."""
        workers = self.server.ask(f"work_pools/{self.pool}/workers/filter", {})
        return any(worker["name"] == self._called for worker in workers)

    @property
    def _called(self) -> str:
        return f"lab-{self.starts}"


def deploy(server: PrefectServer, root: Path, settings: Mapping[str, str] | None = None) -> None:
    """Registers every deployment of `root`/prefect.yaml. Its pool must be there. Raises: LabBroken."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        (*_PREFECT, "--no-prompt", "deploy", "--all"),
        cwd=root,
        env={**variables, **server.client_environment(server.folder / "deploy"), **(settings or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    (server.folder / "deploy.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        end = " / ".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise LabBroken("lab-not-deployed", f"prefect deploy said: {end}", hint=f"read {server.folder}/deploy.log")
