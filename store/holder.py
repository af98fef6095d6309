"""Which process holds a target, and whether one can be sure that it is dead."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

_DEAD_STATES = "ZX"  # ended, though nobody has collected it yet; see proc_pid_stat(5)


@dataclass(frozen=True, slots=True)
class Process:
    """One process, named so that no other one ever has the same name, not after a reboot and not in another container.

    `ticks` is when it was started, in clock ticks since boot: a pid is given again, a pid with the same start is not.
    """

    host: str
    boot: str
    pid_namespace: int
    pid: int
    ticks: int

    @classmethod
    def this(cls) -> Self:
        """The process that asks."""
        boot, namespace = _where()
        return cls(socket.gethostname(), boot, namespace, os.getpid(), _state_and_ticks(os.getpid())[1])

    def surely_dead(self) -> bool:
        """Whether it can be proved, from here and now, that the process is gone. False when it cannot be known."""
        boot, namespace = _where()
        if not boot or (self.host, self.boot, self.pid_namespace) != (socket.gethostname(), boot, namespace):
            return False
        try:
            os.kill(self.pid, 0)  # /proc alone would not do: mounted with hidepid it hides the living, too
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        state, ticks = _state_and_ticks(self.pid)
        return bool(state) and (state in _DEAD_STATES or ticks != self.ticks)

    def written(self) -> str:
        """As JSON; `read` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, written: str) -> Self:
        """The process from what `written` gave."""
        return cls(**json.loads(written))

    def __str__(self) -> str:
        """For people who want to look at it."""
        return f"process {self.pid} on {self.host}"


def _where() -> tuple[str, int]:
    """The boot of this machine and the PID namespace of this process; ("", 0) where the kernel does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot, Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return "", 0


def _state_and_ticks(pid: int) -> tuple[str, int]:
    """State and start of a process, fields 3 and 22 of proc_pid_stat(5); ("", 0) when it cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return "", 0
