"""The second story of `make demo`: a migration fails half-way, is understood, mended, proved mended, deployed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.demo_story import Story
from lab.migrated import BUCKET
from lab.runs import Runs
from lab.world import World
from tasks.migrations.catalog import snapshot

RUNBOOK = "recover-dirty-migration"
TARGET = "control-plane"
ASKED = {"database": TARGET, "direction": "", "deployed": "", "migrate": False, "approve": "", "reason": "demo"}


def tell_migration(story: Story, world: World, runs: Runs) -> None:
    """The story itself, in the order in which it is lived."""
    found: dict[str, Any] = {"before": _catalog(world)}
    world.break_("migration", "committed-half")
    found["broken"] = _catalog(world)
    story.claim("a migration has failed half-way", lambda: (_version(world) == [(41, True)], _said(world)))
    found["look"] = runs.start(RUNBOOK, ASKED)
    story.claim("the flow replays it, plans, and ends", lambda: _ended(runs, found["look"]))
    story.claim("it found the last statement that ran", lambda: _plan(runs, found))
    story.claim("nothing has been changed", lambda: _untouched(world, found))
    found["act"] = runs.start(RUNBOOK, {**ASKED, "approve": found.get("digest", "")})
    story.claim("the plan is approved by its digest and carried out", lambda: _ended(runs, found["act"]))
    story.claim("every object is as before the file", lambda: _mended(world, found))
    story.claim("the backup is in S3, with its SHA-256", lambda: _backup(world))
    for channel in ("slack", "telegram", "email", "webhook"):
        story.claim(f"{channel} was told once", lambda channel=channel: _told(world, channel))  # type: ignore[misc]
    world.migrated.cure()
    story.claim("the corrected file is deployed by run-migrations", lambda: _deployed(world))
    story.claim("no scratch database is left", lambda: _no_scratch(world))


def _catalog(world: World) -> dict[Any, str]:
    with world.migrated.known[TARGET].connect() as conn:
        return dict(snapshot(conn))


def _version(world: World) -> list[tuple[Any, ...]]:
    with world.migrated.known[TARGET].connect() as conn:
        return conn.execute("SELECT version, dirty FROM schema_migrations").fetchall()


def _said(world: World) -> str:
    return f"schema_migrations says {_version(world)[0]}: every deployment aborts"


def _ended(runs: Runs, run: str) -> tuple[bool, str]:
    ended = runs.wait(run)
    return ended.state == "COMPLETED", f'"{ended.name}" is {ended.state.lower()}'


def _plan(runs: Runs, found: dict[str, Any]) -> tuple[bool, str]:
    (artifact,) = runs.artifacts(found["look"])
    found["digest"] = match[1] if (match := re.search(r"runbook approve ([0-9a-f]{12})", artifact)) else ""
    last = re.search(r"statement \d+ of \d+ was the last that ran", artifact)
    steps = re.findall(r"^\d+\. (.*)$", artifact, re.MULTILINE)
    said = last[0] if last else "nothing was found"
    return bool(last) and len(steps) == 3, f"{said}; plan {found['digest']} with {len(steps)} steps"


def _untouched(world: World, found: dict[str, Any]) -> tuple[bool, str]:
    same = _catalog(world) == found["broken"] and _version(world) == [(41, True)]
    return same, f"{len(found['broken'])} objects and properties, and the version, are the same"


def _mended(world: World, found: dict[str, Any]) -> tuple[bool, str]:
    now = _catalog(world)
    return now == found["before"] and _version(world) == [(40, False)], f"all {len(now)} are; clean at version 40"


def _backup(world: World) -> tuple[bool, str]:
    objects = world.s3.objects(BUCKET)
    dumps = [key for key in objects if key.endswith(".dump")]
    return len(dumps) == 1 and f"{dumps[0]}.sha256" in objects, f"{', '.join(dumps)}: {sum(objects.values())} bytes"


def _told(world: World, channel: str) -> tuple[bool, str]:
    arrived = [json.dumps(one["message"]) for one in world.receivers.arrived(channel)]
    done = sum(f"{RUNBOOK} on database/{TARGET}: done" in text for text in arrived)
    plans = sum(f"{RUNBOOK} on database/{TARGET}: awaits approval" in text for text in arrived)
    return (done, plans) == (1, 1), f"{plans} plan and {done} outcome"


def _deployed(world: World) -> tuple[bool, str]:
    program = str(Path(sys.executable).with_name("runbook"))
    command = [program, "run", "run-migrations", "--param", f"database={TARGET}", "--reason", "demo"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(world.folder), **world.environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = (done.stderr + done.stdout).strip().splitlines()[-1:] or ["nothing"]
    return done.returncode == 0 and _version(world) == [(41, False)], said[0]


def _no_scratch(world: World) -> tuple[bool, str]:
    with world.migrated.known[TARGET].connect() as conn:
        names = [name for (name,) in conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'runbook_%'")]
    left = [name for name in names if name.startswith("runbook_scratch_")]
    return not left, f"{len(names)} templates without a row are kept, for the next look"
