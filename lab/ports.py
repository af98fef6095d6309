"""Free ports on loopback."""

import random
import socket
import threading
from pathlib import Path

_given: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on, never given twice by this process.

    Below the range that the kernel takes for outgoing connections, so that no client of anybody sits on it while a
    server is down between `stop` and `start`. Another process can still be quicker: `Server.start` then tries others.
    """
    highest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]) - 1
    with _lock:
        while True:
            port = random.randint(10_000, max(highest, 20_000))
            if port not in _given and is_free(port):
                _given.add(port)
                return port


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
