"""The migrate command: its end, its limit, what reaches it and what is shown of it; and golang-migrate's log."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from runbooks.errors import BadRequest
from store.migrated import MigratedDatabase
from tasks.migrations import command
from tasks.migrations.command import Logged, direction_in, run_migrate

CANARY = "canary-of-the-database"

VERBOSE = """
2026/11/24 10:00:00 Start buffering 38/u a
2026/11/24 10:00:00 Start buffering 39/u b
2026/11/24 10:00:00 Start buffering 40/u c
2026/11/24 10:00:00 Read and execute 38/u a
2026/11/24 10:00:00 Finished 38/u a (read 1.2ms, ran 3ms)
2026/11/24 10:00:00 Read and execute 39/u b
error: migration failed: column "x" in line 3: -- 12/d other (3ms) (details: pq: …)
"""

# A newcomer adds a case here: lines of a log, and what was begun last.
LOGS: dict[str, tuple[str, Logged | None]] = {
    "nothing": ("", None),
    "finished ones": ("38/u pool (3.2ms)\n39/u rolling_uptime (12.34ms)", Logged(39, "up", finished=True)),
    "down": ("40/d invoices (1m2.5s)\n39/d rolling_uptime (812.3µs)", Logged(39, "down", finished=True)),
    "verbose, the last one failed": (VERBOSE, Logged(39, "up", finished=False)),
    "only read ahead": (
        "Start buffering 39/u b\nStart buffering 40/u c\nerror: can't acquire database lock",
        Logged(39, "up", finished=False),
    ),
    "logged as JSON": (
        '{"level":"info","msg":"Read and execute 39/u rolling_uptime\\n"}',
        Logged(39, "up", finished=False),
    ),
    "a moment as version": ("20261124101112/u orders (5s)", Logged(20261124101112, "up", finished=True)),
    "two runs": ("39/u a (3ms)\n40/u b (3ms)\n40/d b (9ms)", Logged(40, "down", finished=True)),
    "dirty already": ("error: Dirty database version 39. Fix and force version.", None),
    "a path": ("reading /migrations/39/u name of it", None),
    "a fraction": ("progress 39/u done", None),
}


@pytest.mark.parametrize("case", LOGS)
def test_what_was_begun_last(case: str) -> None:
    log, begun = LOGS[case]
    assert direction_in(log.split("\n")) == begun


def database(folder: Path, script: str, **more: Any) -> MigratedDatabase:
    program = folder / "migrate"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    known = {"user": "app", "dbname": "app", "migrations": str(folder), "migrate": ("./migrate", "up")}
    return MigratedDatabase(**{**known, "migrate_folder": folder, **more})


def run(known: MigratedDatabase) -> tuple[command.Ran, list[str], list[str]]:
    said: list[str] = []
    lines: list[str] = []
    return run_migrate(known, said.append, lines.append), lines, said


def test_it_runs_in_its_folder_with_its_arguments(tmp_path: Path) -> None:
    ran, lines, said = run(database(tmp_path, 'echo "$PWD $*"; echo "39/u rolling_uptime (3ms)" >&2; exit 3'))
    assert lines == [f"{tmp_path} up", "39/u rolling_uptime (3ms)"]
    assert ran == command.Ran(3, tuple(lines), "up", 39, timed_out=False)
    assert said == []


def test_a_program_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database(tmp_path, "echo found", migrate=("migrate",))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run(known)[1] == ["found"]


def test_the_last_40_lines_are_kept_and_all_are_passed_on(tmp_path: Path) -> None:
    ran, lines, _ = run(database(tmp_path, "seq 1 100; printf 'no line break'"))
    assert lines == [*map(str, range(1, 101)), "no line break"]
    assert ran.output_tail == tuple(lines[-40:])


def test_lines_come_while_it_runs(tmp_path: Path) -> None:
    known = database(tmp_path, "echo one; while ! [ -e seen ]; do sleep 0.01; done; echo two")
    lines = []

    def on_line(line: str) -> None:
        lines.append(line)
        (tmp_path / "seen").touch()

    assert run_migrate(known, print, on_line).exit_code == 0
    assert lines == ["one", "two"]


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    ran, lines, _ = run(database(tmp_path, "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo after"))
    assert [len(line) for line in lines] == [1002, 5]
    assert ran.exit_code == 0


def test_what_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("RUNBOOK_STORE_URL", "PREFECT_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "SOMETHING")
    theirs = ("HOODCLOUD_CONFIG", "VAULT_ADDR", "DB_HOST", "LANG", "TZ")
    for name in (*ours, *theirs):
        monkeypatch.setenv(name, f"value-of-{name}")
    _, lines, _ = run(database(tmp_path, "env | cut -d= -f1"))
    assert set(theirs) <= set(lines) and not {*ours} & {*lines}
    assert set(lines) <= {
        *theirs,
        "PATH",
        "HOME",
        "USER",
        "LC_ALL",
        "TMPDIR",
        "ENVIRONMENT",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    } | {name for name in os.environ if name.startswith(("HOODCLOUD_", "VAULT_", "DB_", "SSL_CERT"))}


# A newcomer adds a case here: what is printed. The canary must be gone.
PRINTED = {
    "an URL": f"opening postgres://app:{CANARY}@db:5432/app?sslmode=require",
    "an URL with an at in it": f'parse "postgres://app:{CANARY}%x@{CANARY}@db/app": invalid URL escape',
    "an URL without user": f"redis://:{CANARY}@cache:6379",
    "words": f"host=db password={CANARY} user=app",
    "words in quotes": f"password = '{CANARY} {CANARY}' user=app",
    "JSON": f'password: "{CANARY}"',
    "the variable itself": f"connecting with {CANARY}",
    "a header": f"Authorization: Bearer {CANARY}",
}


@pytest.mark.parametrize("case", PRINTED)
def test_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if case == "the variable itself":
        monkeypatch.setenv("DB_PASSWORD", CANARY)
    (tmp_path / "printed").write_text(PRINTED[case] + "\n")
    ran, lines, said = run(database(tmp_path, "cat printed"))
    assert CANARY not in f"{ran}{lines}{said}"
    assert "[hidden]" in lines[0]


def test_what_is_no_secret_is_shown_and_moves_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "printed").write_bytes(b"http://127.0.0.1:8200/v1 \x1b[2J \xff password authentication failed\r\n")
    _, lines, _ = run(database(tmp_path, "cat printed"))
    assert lines == ["http://127.0.0.1:8200/v1  [2J � password authentication failed"]


def alive(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def until_gone(pids: list[str]) -> None:
    """A signal was sent; the kernel may take a moment."""
    deadline = time.monotonic() + 5
    while any(alive(int(pid)) for pid in pids):
        assert time.monotonic() < deadline


def test_at_its_limit_its_group_is_ended_first_gently(tmp_path: Path) -> None:
    script = 'trap "echo ending; exit 7" TERM; echo 40/u x "(1ms)"; sleep 1000 & echo $!; wait'
    ran, lines, said = run(database(tmp_path, script, migrate_limit_s=0.5))
    assert (ran.exit_code, ran.timed_out, ran.direction, ran.version) == (7, True, "up", 40)
    until_gone([lines[1]])
    assert "longer than 0" in said[0] and "server may still be at work" in said[0]


def test_what_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GRACE_S", 0.2)
    script = 'trap "" TERM; echo $$; sh -c \'trap "" TERM; echo $$; while :; do sleep 0.05; done\''
    ran, lines, _ = run(database(tmp_path, script, migrate_limit_s=0.5))
    assert (ran.exit_code, ran.timed_out) == (-signal.SIGKILL, True)
    assert len(lines) == 2
    until_gone(lines)


def test_what_it_leaves_behind_holds_nobody_up(tmp_path: Path) -> None:
    ran, lines, _ = run(database(tmp_path, "sleep 60 & echo $!", migrate_limit_s=30))
    assert (ran.exit_code, ran.timed_out, len(lines)) == (0, False, 1)
    os.kill(int(lines[0]), signal.SIGKILL)


def test_a_reader_that_fails_ends_it(tmp_path: Path) -> None:
    pids = []

    def on_line(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_migrate(database(tmp_path, "echo $$; exec sleep 1000"), print, on_line)
    assert not alive(pids[0])


# A newcomer adds a case here: what is changed of a command that would run.
NO_COMMAND: dict[str, dict[str, Any]] = {
    "not set": {"migrate": ()},
    "not there": {"migrate": ("./nothing",)},
    "not on the path": {"migrate": ("no-such-program-here",)},
    "a folder": {"migrate": ("./below",)},
    "not executable": {"migrate": ("./data",)},
    "no folder": {"migrate_folder": Path("/nothing-here")},
    "not in the folder": {"migrate": ("./migrate",), "migrate_folder": Path("/")},
    "no program": {"migrate": ("./broken",)},
}


@pytest.mark.parametrize("case", NO_COMMAND)
def test_no_command_that_could_run(tmp_path: Path, case: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "data").write_text("x")
    (tmp_path / "data").chmod(0o600)
    (tmp_path / "broken").write_text("#!/nothing/here\n")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(BadRequest) as failed:
        run(database(tmp_path, "touch ran", **NO_COMMAND[case]))
    assert (failed.value.reference, (tmp_path / "ran").exists()) == ("migrate-command-missing", False)
