"""Keeps one server of the lab: starts it, and leaves nothing of it behind, whatever becomes of the lab.

Run as a program of its own (standard library only, no site-packages, 20 ms), one for each server, by `lab/server.py`:

    python -IS keeper.py REPORTS_FD STOP_SIGNAL GRACE_S -- COMMAND...

It writes `started PID` and `ended STATUS` to REPORTS_FD, and reads its standard input: `stop` means STOP_SIGNAL
and, GRACE_S seconds later, SIGKILL; `kill` means SIGKILL to all at once; the end of the input means that the lab is
gone (a pipe ends also after `kill -9`), which is the same as `stop`. As a subreaper, prctl(2), it inherits every
orphan below it, so that the children of a server are found when the server itself is dead.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _descendants() -> list[int]:
    """Every process below this one, by /proc/PID/stat (the parent is the second field after the name)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _start(command: list[str]) -> int:
    """The pid of the server. It dies with the keeper, and no signal is ignored in it.

    A shell's background job ignores SIGINT, and children inherit that: a Prefect worker started so cannot be stopped.
    """
    keeper, pid = os.getpid(), os.fork()
    if pid:
        return pid
    try:
        for number in signal.valid_signals():
            with contextlib.suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _reap(server: int, reports: int) -> bool:
    """Collects what ended; true when nothing is left below this process."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
        if pid == server:
            _report(reports, f"ended {os.waitstatus_to_exitcode(status)}")


def _report(reports: int, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody is left to read it
        os.write(reports, f"{line}\n".encode())


def _kill(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def main() -> None:
    """Keeps the server until told to stop, then ends with nothing left below."""
    reports, stop_signal, grace_s, command = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[5:]
    os.set_inheritable(reports, False)  # noqa: FBT003 - takes no keyword
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # the lab decides, by the pipe; a closed terminal does not
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server = _start(command)
    _report(reports, f"started {server}")
    deadline, told = float("inf"), False
    while True:
        gone = _reap(server, reports)
        if told and gone:
            return
        if time.monotonic() >= deadline:
            _kill(_descendants(), signal.SIGKILL)
            deadline = time.monotonic() + 0.05
        timeout = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([woken] if told else [woken, 0], [], [], timeout)
        if woken in ready:
            os.read(woken, 4096)
        if 0 in ready:
            word, told = os.read(0, 4096), True
            deadline = time.monotonic() + (0 if word.startswith(b"kill") else grace_s)
            if not word.startswith(b"kill"):
                _kill([server], stop_signal)


if __name__ == "__main__":
    main()
