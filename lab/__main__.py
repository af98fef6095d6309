"""`python -m lab`: a world of real servers on this machine, to break and to mend."""

import argparse
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab.control import ask, is_served, serve
from lab.dirty_cases import CASES, Case
from lab.migrated import USUAL
from lab.prefect import CALLS_NOBODY
from lab.world import BREAKAGES, World
from runbooks.errors import BadRequest, RunbookError

_MARK = ".lab"
_CODES = {0: "does not answer", 200: "active", 429: "standby", 501: "not initialised", 503: "SEALED"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "up":
            return up(asked.folder, asked.ui_port)
        if asked.command == "cases":
            print(cases(), end="")
            return 0
        question = f"break {asked.what} {asked.case}".strip() if asked.command == "break" else asked.command
        print(ask(asked.folder, question), end="")
    except RunbookError as error:
        print(f"lab: {error.message}\n  next: {error.hint}\n  ref:  {error.reference}", file=sys.stderr)
        return error.exit_code
    return 0


def up(folder: Path, ui_port: int) -> int:
    """Brings the world up, says where everything is, and stays until Ctrl-C. Raises: BadRequest, LabBroken."""
    _make_empty(folder)
    signal.signal(signal.SIGTERM, _interrupt)
    world, working = World(folder, ui_port, say=_say), threading.Lock()
    _say(f"starting in {folder}; about 15 s")
    try:
        with serve(folder, lambda words: answer(world, words, working)), world:
            _say(_welcome(world, write_settings(world)))
            down: set[str] = set()
            while True:
                time.sleep(1)
                with working:
                    down = _notice(world, down)
    except KeyboardInterrupt:
        _say("\nstopped; nothing is left running")
        return 0


def answer(world: World, words: str, working: threading.Lock) -> str:
    """What `words` from another terminal lead to. Raises: BadRequest."""
    command, _, what = words.partition(" ")
    if not world.up:
        raise BadRequest("lab-not-up-yet", "the lab is still starting", hint="try again in a few seconds")
    with working:
        if command == "status":
            return status(world)
        done = world.cure() if command == "cure" else world.break_(*what.split())
        return f"{done}\n\n{status(world)}"


def status(world: World) -> str:
    """Where everything is and how it is, a line each."""
    rows = [
        ("Prefect UI", world.prefect.address, "" if world.prefect.running() else "ended by itself"),
        ("worker", world.worker.address, "" if world.worker.running() else "ended by itself"),
        ("what was received", world.receivers.address, "" if world.receivers.running() else "ended by itself"),
        ("S3", world.s3.address, "" if world.s3.running() else "ended by itself"),
        ("PostgreSQL", world.postgres.address, "" if world.postgres.running() else "ended by itself"),
        *((name, world.vault.nodes[name], _CODES.get(code, str(code))) for name, code in world.vault.health().items()),
    ]
    return "".join(f"  {name:<19}{address:<26}{how}".rstrip() + "\n" for name, address, how in rows)


def cases() -> str:
    """Every way in which a migration can fail, a line each: what is found then, and whether it can be mended."""
    ways = sorted(CASES.values(), key=lambda case: (case.finding, case.name))
    return "".join(f"  {case.name:<34}{case.finding:<18}{_end_of(case):<10}{case.what}\n" for case in ways)


def _end_of(case: Case) -> str:
    if case.mended:
        return "mended"
    return "well" if case.then_up else "refused"  # well: there is nothing to mend


def write_settings(world: World) -> Path:
    """Writes runbook.env (mode 0600), for `RUNBOOK_ENV_FILE` or a shell's `source`."""
    file = world.folder / "runbook.env"
    file.touch(mode=0o600)
    settings = {**CALLS_NOBODY, "PREFECT_HOME": str(world.folder / "home"), **world.environment()}
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    return file


def _welcome(world: World, file: Path) -> str:
    asked_for = world.ui_port not in (0, world.prefect.ports[0])
    taken = f"\n  Port {world.ui_port} is taken; the UI is on another." if asked_for else ""
    file = Path(os.path.relpath(file)) if file.is_relative_to(Path.cwd()) else file
    lab = "" if file.parent == Path("build/lab") else f" --folder {shlex.quote(str(file.parent))}"
    here = Path(os.path.relpath(sys.executable)) if Path(sys.executable).is_relative_to(Path.cwd()) else sys.executable
    migrated = f"{file.parent}/migrated"
    return f"""
{status(world)}{taken}
  In a second terminal, seal Vault and look:
    {here} -m lab break vault{lab}
    export RUNBOOK_ENV_FILE={shlex.quote(str(file))}
    {Path(here).parent}/runbook plan unseal-vault

  or let a migration fail, mend it, correct the file, and deploy again:
    {here} -m lab cases
    {here} -m lab break migration --case {USUAL}{lab}
    {Path(here).parent}/runbook plan recover-dirty-migration --param database=control-plane
    {Path(here).parent}/runbook approve DIGEST
    {here} -m lab cure{lab}
    {Path(here).parent}/runbook run run-migrations --param database=control-plane

  In {migrated}/control-plane and …/payment-service are migrations/, SHA256SUMS, ./migrate and backups/.
  Every server's log is below {file.parent}; `--folder` puts all of it elsewhere, for each command alike.

  Ctrl-C stops everything."""


def _make_empty(folder: Path) -> None:
    """Clears what an earlier lab left in `folder`; touches no folder that is not a lab's. Raises: BadRequest."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise BadRequest("not-a-lab", f"{folder} has files that are not a lab's", hint="name an empty folder")
        if is_served(folder):
            raise BadRequest("lab-is-up", f"a lab is up in {folder}", hint="end it with Ctrl-C, or name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / _MARK).touch()


def _notice(world: World, known: set[str]) -> set[str]:
    """Says which servers ended since the last look, and goes on: this is a place to break things."""
    down = {server.name: server for server in world.servers if not server.running()}
    for name in down.keys() - known:
        _say(f"  {name} ended; its log is {down[name].log}")
    return set(down)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    folder = argparse.ArgumentParser(add_help=False)
    where = "everything is below it (default: build/lab)"
    folder.add_argument("--folder", type=Path, default=Path("build/lab"), help=where)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("up", parents=[folder], help="bring it up, and stay until Ctrl-C")
    one.add_argument("--ui-port", type=int, default=4200, metavar="PORT", help="where Prefect's UI is (default: 4200)")
    one = commands.add_parser("break", parents=[folder], help="break something, from a second terminal")
    breakages = "; ".join(f"{name}: {does}" for name, (does, _) in BREAKAGES.items())
    one.add_argument("what", choices=sorted(BREAKAGES), help=breakages)
    one.add_argument("--case", default="", metavar="NAME", help="how a migration fails; `lab cases` names the ways")
    correct = "correct what let a migration fail, once it is mended, so that it can be deployed again"
    commands.add_parser("cure", parents=[folder], help=correct)
    found = "the ways in which a migration can fail, what is then found, and whether it can be mended"
    commands.add_parser("cases", help=found)
    commands.add_parser("status", parents=[folder], help="where everything is and how it is")
    return parser


def _say(words: str) -> None:
    print(words, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
