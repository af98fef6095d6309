"""Keeps one PostgreSQL for as long as a run lives, and not longer, whatever becomes of the run.

Run as a program of its own (standard library only) by `own_server.py`: `python -IS keeper.py COMMAND…`. The end of its
standard input means that the run is over; a pipe ends also after `kill -9`, and does not depend on which thread of the
run started it, as a parent-death signal would. Then PostgreSQL is asked to end (SIGINT: "fast", its data kept), and
killed when it does not. When the keeper itself is killed, the kernel kills PostgreSQL: prctl(2), PR_SET_PDEATHSIG.
"""

import ctypes
import os
import select
import signal
import sys

GRACE_S = 5
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """Runs `command` until it ends or the standard input does; its exit status."""
    keeper, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == keeper:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.execv(command[0], command)
        finally:
            os._exit(127)
    ended = os.pidfd_open(pid)
    if ended not in select.select([0, ended], [], [])[0]:
        os.kill(pid, signal.SIGINT)
        if not select.select([ended], [], [], GRACE_S)[0]:
            os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(abs(main(sys.argv[1:])))
