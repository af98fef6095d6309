"""`make demo`: a Vault is sealed, a migration fails half-way, and the runbooks bring both back, by the same calls that
Prefect's UI makes.

Every line of the table is a claim that is looked up where it must be true: at Vault, at Prefect's API, at the
receivers. The exit code is 0 only if all of them are.
"""

import json
import platform
import re
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.canaries import hunt
from lab.demo_migration import tell_migration
from lab.demo_story import Story
from lab.processes import processes_of
from lab.runs import Runs
from lab.world import ROOT, World
from store import journal
from store.database import Database

RESULT = ROOT / "build" / "demo.json"


def main() -> int:
    """Run the demo; returns its exit code."""
    folder = Path(tempfile.mkdtemp(prefix="runbook-demo-"))
    story = Story()
    print("starting OpenBao (3 nodes), PostgreSQL, Prefect with its UI, and receivers for the messages …", flush=True)
    world = World(folder / "world")
    try:
        with world:
            tell(story, world)
        story.claim("nothing is left running", lambda: (not processes_of(folder), "every process was stopped"))
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
    show(story)
    return 0 if story.good else 1


def tell(story: Story, world: World) -> None:
    """The story itself, in the order in which it is lived."""
    runs = Runs(world.prefect)
    found: dict[str, Any] = {}
    story.claim("the lab is up", lambda: (world.up, f"{len(world.servers)} servers on 127.0.0.1"))
    world.break_("vault")
    story.claim("Vault is sealed", lambda: _health(world, [503, 503, 503]))
    found["look"] = runs.start("unseal-vault", {"cluster": "hoodcloud", "approve": "", "reason": "demo"})
    story.claim("the flow looks, plans, and ends", lambda: _ended(runs, found["look"], "COMPLETED"))
    story.claim("the plan is on the run's page", lambda: _plan(runs, found))
    story.claim("nothing has been changed", lambda: _health(world, [503, 503, 503]))
    approve = {"cluster": "hoodcloud", "approve": found.get("digest", ""), "reason": "demo"}
    wrong = runs.start("unseal-vault", {**approve, "approve": "0123456789ab"})
    story.claim("a digest that nobody was shown is refused", lambda: _refused(runs, wrong, "digest-unknown"))
    began = time.monotonic()
    found["act"] = runs.start("unseal-vault", approve)
    story.claim("the plan is approved by its digest and carried out", lambda: _ended(runs, found["act"], "COMPLETED"))
    took = time.monotonic() - began
    story.claim("one node is active, two are standby", lambda: _health(world, [200, 429, 429], f"{took:.1f} s later"))
    story.claim("its secrets can be read", lambda: _readable(world))
    story.claim("the outcome is on the run's page", lambda: _outcome(runs, found["act"]))
    for channel in ("slack", "telegram", "email", "webhook"):
        story.claim(f"{channel} was told once", lambda channel=channel: _told(world, channel))  # type: ignore[misc]
    story.claim("the same digest does nothing more", lambda: _nothing_to_do(runs, approve))
    tell_migration(story, world, runs)
    story.claim("the journal is whole", lambda: _journal(world))
    story.claim("no secret is anywhere but in Vault", lambda: _no_secret(world))


def show(story: Story) -> None:
    """Print the table and write `build/demo.json`."""
    table = Table("at", "what", "true", "seen", title="What happened", title_justify="left", box=None, pad_edge=False)
    for line in story.lines:
        table.add_row(f"{line.at_s:.1f} s", line.what, "yes" if line.true else "NO", line.seen)
    print()
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    RESULT.parent.mkdir(exist_ok=True)
    result = {"machine": f"{platform.machine()}, {platform.system()}", "true": story.good}
    RESULT.write_text(json.dumps({**result, "lines": [asdict(line) for line in story.lines]}, indent=2) + "\n")
    where = RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT
    print(f"\n{'every line is true' if story.good else 'NOT every line is true'}; the same is in {where}")


def _health(world: World, expected: list[int], more: str = "") -> tuple[bool, str]:
    health = world.vault.health()
    words = {200: "active", 429: "standby", 503: "sealed"}
    seen = ", ".join(f"{name} {words.get(code, code)}" for name, code in health.items())
    return sorted(health.values()) == expected, f"{seen}, {more}" if more else seen


def _ended(runs: Runs, run: str, state: str) -> tuple[bool, str]:
    ended = runs.wait(run)
    return ended.state == state, f'"{ended.name}" is {ended.state.lower()}'


def _refused(runs: Runs, run: str, reference: str) -> tuple[bool, str]:
    ended = runs.wait(run)
    return ended.state == "FAILED" and reference in ended.message, ended.message.partition(": ")[2].split(" | ")[0]


def _plan(runs: Runs, found: dict[str, Any]) -> tuple[bool, str]:
    (artifact,) = runs.artifacts(found["look"])
    found["digest"] = match[1] if (match := re.search(r"runbook approve ([0-9a-f]{12})", artifact)) else ""
    steps = re.findall(r"^\d+\. (.*)$", artifact, re.MULTILINE)
    return bool(found["digest"]) and len(steps) == 3, f"plan {found['digest']} with {len(steps)} steps"


def _outcome(runs: Runs, run: str) -> tuple[bool, str]:
    (artifact,) = runs.artifacts(run)
    return artifact.count("| done |") == 3, artifact.split("\n")[2].replace("\\", "")


def _told(world: World, channel: str) -> tuple[bool, str]:
    arrived = [json.dumps(one["message"]) for one in world.receivers.arrived(channel)]
    done = [text for text in arrived if "hoodcloud: done" in text]
    plans = [text for text in arrived if "awaits approval" in text]
    return (len(done), len(plans)) == (1, 1), f"{len(plans)} plan and {len(done)} outcome"


def _nothing_to_do(runs: Runs, approve: dict[str, str]) -> tuple[bool, str]:
    run = runs.start("unseal-vault", approve)
    ended = runs.wait(run)
    (artifact,) = runs.artifacts(run)
    return ended.state == "COMPLETED" and "nothing to do" in artifact, artifact.split("\n")[0].replace("\\", "")


def _readable(world: World) -> tuple[bool, str]:
    role = world.vault.roles["hoodcloud-runbooks"]
    client = world.vault.client()
    client.auth.approle.login(role.role_id, role.secret_id_file.read_text().strip())
    path = "hoodcloud/app-credentials"
    fields = client.secrets.kv.v2.read_secret_version(path, mount_point="secret", raise_on_deleted_version=True)
    return bool(fields["data"]["data"]), f"{len(fields['data']['data'])} fields of secret/{path}"


def _journal(world: World) -> tuple[bool, str]:
    audit = journal.verify(Database.open(world.environment()["RUNBOOK_STORE_URL"]))
    return not audit.faults, f"{audit.rows} rows, head {audit.head[:12]}"


def _no_secret(world: World) -> tuple[bool, str]:
    hunted = hunt(world)
    found = "".join(hunted.found[:3])
    return not hunted.found, f"{hunted.secrets} secrets looked for in {hunted.places} places{found}"


if __name__ == "__main__":
    sys.exit(main())
