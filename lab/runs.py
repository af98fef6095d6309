"""Runs of the deployed flows, started and read through Prefect's API, by the calls that its UI makes."""

import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.prefect import PrefectServer
from lab.server import LabBroken

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Run:
    """A run as it is: its name, its state, and what the state says."""

    id: str
    name: str
    state: str
    message: str


class Runs:
    """The runs of one Prefect server."""

    def __init__(self, server: PrefectServer) -> None:
        self._server = server

    def start(self, deployment: str, parameters: Mapping[str, Any], tags: tuple[str, ...] = ()) -> str:
        """Start a run, as *Submit* on the run form does; returns its id."""
        found = self._server.ask(f"deployments/name/{deployment}/{deployment}")
        body = {"parameters": dict(parameters), "tags": list(tags)}
        run: str = self._server.ask(f"deployments/{found['id']}/create_flow_run", body)["id"]
        return run

    def read(self, run: str) -> Run:
        """The run as it is now."""
        found = self._server.ask(f"flow_runs/{run}")
        return Run(run, found["name"], found["state"]["type"], found["state"].get("message") or "")

    def wait(self, run: str, limit_s: float = 180) -> Run:
        """The run once it has ended. Raises: LabBroken, when that takes too long."""
        deadline = time.monotonic() + limit_s
        while (found := self.read(run)).state not in ENDED:
            if time.monotonic() > deadline:
                log = "\n".join(self.log(run)[-20:])
                said = f"{found.name} is {found.state} after {limit_s:.0f} s\n{log}"
                raise LabBroken("run-not-ended", said, hint="read its log")
            time.sleep(0.1)  # the API has no call that waits for a state
        return found

    def artifacts(self, run: str) -> list[str]:
        """The Markdown on the run's page, oldest first."""
        asked = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}, "sort": "ID_DESC"}
        found = sorted(self._server.ask("artifacts/filter", asked), key=lambda one: one["created"])
        return [one["data"] for one in found]

    def log(self, run: str) -> list[str]:
        """What the run logged, oldest first; with a moment's patience, as Prefect sends its logs late."""
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        try:
            return [one["message"] for one in self._server.ask("logs/filter", asked)]
        except urllib.error.URLError as error:
            return [f"(its log cannot be read: {error.reason})"]
