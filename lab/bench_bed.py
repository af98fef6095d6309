"""What a repetition of `make bench` needs around one cluster: a store, a warm process, a worker, and its channels."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from sqlalchemy import RowMapping, func, select

from lab.runs import Runs
from lab.server import LabBroken
from lab.vault import VaultCluster
from lab.world import CLUSTER, ROOT, World
from store.database import Database
from store.schema import DELIVERIES, JOURNAL


class Bed:
    """One cluster, of `world` or beside it, to seal and unseal again and again. What it needs is in `folder`."""

    def __init__(self, world: World, cluster: VaultCluster, folder: Path) -> None:
        self.world, self.cluster, self.folder = world, cluster, folder
        self.runs = Runs(world.prefect)

    def __enter__(self) -> Self:
        """The worker gets the settings of this cluster. Raises: LabBroken."""
        self.folder.mkdir(exist_ok=True)
        self.environment = self._environment()
        self.store = Database.open(self.environment["RUNBOOK_STORE_URL"])
        with ExitStack() as begun:
            begun.callback(self.store.close)
            self.world.worker.stop()
            self.world.worker.settings = self.environment
            self.world.worker.start()
            self.warm = WarmProcess(self.environment, self.world, self.folder)
            begun.callback(self.warm.end)
            self._begun = begun.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.close()

    def seal(self) -> str:
        """Cut the power, look and plan; the digest of the plan, ready to be approved. Raises: LabBroken."""
        self.cluster.power_cut()
        return str(self.warm.call("break-glass")["digest"])

    def plan_anew(self) -> str:
        """The digest of the plan by a process of its own: the code may have been edited since the warm one has read it.

        Raises: LabBroken.
        """
        command = (str(Path(sys.executable).with_name("runbook")), "plan", "unseal-vault", "--json")
        variables = {"PATH": os.environ["PATH"], **self.environment}
        done = subprocess.run(command, env=variables, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabBroken("lab-run-failed", f"runbook plan said: {done.stderr.strip()}", hint="try it by hand")
        return str(json.loads(done.stdout)["digest"])

    def carry_out(self, digest: str) -> str:
        """Let the worker carry out a plan, and wait until that is Completed; the run's id. Raises: LabBroken."""
        run = self.runs.start("unseal-vault", {"cluster": CLUSTER, "approve": digest, "reason": "bench"})
        ended = self.runs.wait(run)
        if ended.state != "COMPLETED":
            raise LabBroken("lab-run-failed", f"{ended.name} is {ended.state}: {ended.message}", hint="read its log")
        return run

    def last_row(self) -> int:
        """The number of the journal's newest row."""
        with self.store.read() as conn:
            return int(conn.execute(select(func.max(JOURNAL.c.seq))).scalar() or 0)

    def written_since(self, row: int) -> list[RowMapping]:
        """The journal's rows after `row`."""
        with self.store.read() as conn:
            return list(conn.execute(select(JOURNAL).where(JOURNAL.c.seq > row).order_by(JOURNAL.c.seq)).mappings())

    def told_at(self, run: str) -> float:
        """When the last channel had taken the outcome of `run`. Raises: LabBroken when one has not."""
        with self.store.read() as conn:
            rows = conn.execute(select(DELIVERIES).where(DELIVERIES.c.run == run)).mappings().all()
        left = {row["channel"]: row["why"] or row["status"] for row in rows if row["status"] != "sent"}
        if left or not rows:
            raise LabBroken(
                "lab-not-told", f"the outcome did not reach {left or 'any channel'}", hint="mend that first"
            )
        return max(float(row["done_at"]) for row in rows)

    def _environment(self) -> dict[str, str]:
        role = self.cluster.roles["hoodcloud-runbooks"]
        known = {
            "nodes": self.cluster.nodes,
            "cluster_id": self.cluster.cluster_id,
            "ca_file": str(self.cluster.ca_file),
            "custody": "kept",
            "shares": [f"file:{file}" for file in self.cluster.share_files],
        }
        return {
            **self.world.environment(),
            "VAULT_ADDR": self.cluster.address,
            "VAULT_ROLE_ID": role.role_id,
            "VAULT_SECRET_ID_PATH": str(role.secret_id_file),
            "VAULT_TLS_CA_FILE": str(self.cluster.ca_file),
            "RUNBOOK_VAULT_CLUSTERS": json.dumps({CLUSTER: known}),
            "RUNBOOK_STORE_URL": f"sqlite:///{self.folder / 'store.db'}",
            "RUNBOOK_CREDENTIALS_CACHE": str(self.folder / "channels.lkg"),
        }


class WarmProcess:
    """A process of `lab/bench_warm.py`, which ends with this one."""

    def __init__(self, environment: dict[str, str], world: World, folder: Path) -> None:
        variables = {"PATH": os.environ["PATH"], **world.prefect.client_environment(folder / "prefect"), **environment}
        self.log = folder / "warm.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "lab.bench_warm"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env={**variables, "PYTHONPATH": str(ROOT)},
            )
        channels = self._hear()["channels"]
        if len(channels) != 4:
            raise LabBroken("lab-no-channels", f"of the four channels it knows {channels}", hint=f"read {self.log}")

    def call(self, way: str, approve: str = "") -> dict[str, Any]:
        """One run; see `lab/bench_warm.py`. Raises: LabBroken when it did not end well."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"way": way, "approve": approve}) + "\n")
        self._process.stdin.flush()
        answer = self._hear()
        ending = answer.get("ending") or answer["error"]
        if ending != ("done" if approve else "awaits approval"):
            raise LabBroken("lab-run-failed", f"a run {way} ended with: {ending}", hint=f"read {self.log}")
        return answer

    def end(self) -> None:
        """It ends by itself when there are no more lines."""
        self._process.communicate()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise LabBroken("lab-warm-process-died", "the warm process ended", hint=f"read {self.log}")
        answer: dict[str, Any] = json.loads(line)
        return answer
