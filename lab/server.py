"""The one shape of every server of the lab."""

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar, Self

from lab.ports import free_port
from runbooks.errors import RunbookError

_KEEPER = Path(__file__).with_name("keeper.py")
_PORT_TAKEN = ("address already in use", "address is already in use", "could not bind")
_VARIABLES_KEPT = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR")
_POLL_S = 0.02


class LabBroken(RunbookError):
    """A server of the lab did not come up; the message has the end of its log."""


class Server(ABC):
    """A process with an address. A subclass says what to run (`command`) and how one sees that it is ready (`answers`).

    `start` returns when it answers; `stop` and `kill` when it and everything below it is gone. All may be called twice.
    A stopped server starts again on the same ports with the same data: only the very first start may try other ports.
    """

    ports_wanted: ClassVar[int] = 1
    stop_signal: ClassVar[Signals] = SIGTERM
    grace_s: ClassVar[float] = 10
    start_limit_s: ClassVar[float] = 60

    def __init__(self, folder: Path, name: str = "") -> None:
        self.name = name or type(self).__name__.lower()
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / f"{self.name}.log"
        self.ports: tuple[int, ...] = ()
        self.pid = 0
        """Of the server itself, not of its keeper; 0 when it does not run."""
        self._ports_fixed = False
        self._log_from = 0
        self._keeper: subprocess.Popen[bytes] | None = None
        self._reports = -1
        self._lock = threading.RLock()  # one thread may stop it while another waits for it to answer

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients reach it; known once it was started."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to run, with `self.ports`. No secrets: every user of the machine can read it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it is ready; asked again and again. An OSError means: not yet."""

    def environment(self) -> Mapping[str, str]:
        """Its variables besides PATH, HOME and the like. Nothing else of this process's environment reaches it."""
        return {}

    def choose_ports(self) -> tuple[int, ...]:
        """Ports to try; asked again when one of them was taken before the server had it."""
        return tuple(free_port() for _ in range(self.ports_wanted))

    def prepare(self) -> None:  # noqa: B027 - most servers need it, some have nothing to write
        """Writes what it needs before every start: configuration, data folder. `self.ports` are known."""

    def start(self) -> Self:
        """Starts it, unless it runs, and returns when it answers. Raises: LabBroken."""
        if self.running():
            return self
        for attempts_left in reversed(range(1 if self._ports_fixed else 5)):
            if not self._ports_fixed:
                self.ports = self.choose_ports()
            self.launch()
            try:
                self.wait_until_it_answers()
            except LabBroken:
                log = self.log_end(200).lower()
                if attempts_left and any(words in log for words in _PORT_TAKEN):
                    continue
                raise
            self._ports_fixed = True
            break
        return self

    def stop(self) -> None:
        """Asks it to end (`stop_signal`), kills what is left `grace_s` later, and waits until all of it is gone."""
        self._end(b"stop")

    def kill(self) -> None:
        """`kill -9` to it and to everything below it: the power cut. Waits until all of it is gone."""
        self._end(b"kill")

    def running(self) -> bool:
        """Whether its process lives."""
        if self.pid and "ended" in self._report(0):
            self.pid = 0
        return self.pid != 0

    def log_end(self, lines: int = 12) -> str:
        """The last lines that it wrote since it was last started."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def launch(self) -> None:
        """Starts its process and does not wait for an answer; for a server that waits for others. Ports must be set."""
        self._end(b"kill")
        self.prepare()
        variables = {name: os.environ[name] for name in _VARIABLES_KEPT if name in os.environ}
        with self._lock, self.log.open("ab") as log:
            self._log_from = log.tell()
            self._reports, to_us = os.pipe()
            keeper = (sys.executable, "-IS", str(_KEEPER), str(to_us), str(int(self.stop_signal)), str(self.grace_s))
            self._keeper = subprocess.Popen(
                (*keeper, "--", *self.command()),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**variables, **self.environment()},
                pass_fds=(to_us,),
                start_new_session=True,  # Ctrl-C in the terminal is for the lab alone
            )
            os.close(to_us)
            self.pid = int(self._report(self.start_limit_s).split()[1])

    def wait_until_it_answers(self) -> None:
        """Raises: LabBroken, with the server stopped, when it ends or does not answer within `start_limit_s`."""
        deadline = time.monotonic() + self.start_limit_s
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.answers():
                    return
            if "ended" in self._report(_POLL_S):
                why = "ended before it answered"
                break
        else:
            why = f"does not answer after {self.start_limit_s:.0f} s"
        log = self.log_end().replace("\n", " / ")
        self.kill()
        raise LabBroken("lab-server-down", f"{self.name} {why}; it wrote: {log}", hint=f"read {self.log}")

    def _report(self, timeout_s: float) -> str:
        """What the keeper wrote, or nothing after `timeout_s`; "ended" when the keeper itself is gone."""
        with self._lock:
            if self._keeper is None:
                return "ended"
            if not select.select([self._reports], [], [], timeout_s)[0]:
                return ""
            return os.read(self._reports, 1000).decode() or "ended"

    def _end(self, how: bytes) -> None:
        with self._lock:
            if self._keeper is None:
                return
            with contextlib.suppress(BrokenPipeError):
                self._keeper.communicate(how)
            self._keeper.wait()
            os.close(self._reports)
            self._keeper, self._reports, self.pid = None, -1, 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
