"""A server that plays what a Vault would say and OpenBao cannot: codes of Vault Enterprise, errors of old versions.

It believes nothing and remembers no keys: every answer is written by the test.

    with VaultStub(folder) as stub:
        stub.answer("sys/health", Answer(473))
        stub.answer("sys/unseal", Answer(200, seal_status(progress=1)), WRONG_KEY_BEFORE_1_13)
"""

import json
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from lab.certificates import Authority


@dataclass(frozen=True)
class Answer:
    """One answer: a code with a JSON body, `after_s` seconds later. Code 0 hangs up without a word."""

    code: int
    body: Mapping[str, Any] = field(default_factory=dict)
    after_s: float = 0


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    body: Mapping[str, Any] = field(repr=False)
    token: str = field(repr=False)


_NOT_DECRYPTED = "failed to decrypt keys from storage: cipher: message authentication failed"

WRONG_KEY = Answer(400, {"errors": [f"unable to retrieve stored keys: invalid key: {_NOT_DECRYPTED}"]})
"""The last share of a wrong set, as Vault 1.13 and later and OpenBao say it."""

WRONG_KEY_BEFORE_1_13 = Answer(500, WRONG_KEY.body)
"""The same from Vault 1.3 to 1.12, which took it for a failure of their own (hashicorp/vault#8425, #17836)."""

HEALTH = {
    "active": 200,
    "standby": 429,
    "disaster-recovery secondary": 472,
    "performance standby": 473,
    "standby without its active node": 474,
    "not initialised": 501,
    "sealed": 503,
    "removed from the cluster": 530,
}
"""What the codes of `sys/health` mean (developer.hashicorp.com/vault/api-docs/system/health)."""


def seal_status(**changes: object) -> dict[str, object]:
    """The body of `sys/seal-status` of a sealed Vault 1.15 with HoodCloud's five shares, with `changes`."""
    status: dict[str, object] = {
        "type": "shamir", "initialized": True, "sealed": True, "t": 3, "n": 5, "progress": 0, "nonce": "",
        "version": "1.15.6", "build_date": "2024-02-28T17:07:34Z", "migration": False, "recovery_seal": False,
        "storage_type": "raft",
    }  # fmt: skip
    return status | changes


class VaultStub:
    """An https server on loopback with a certificate authority of its own, in this process.

    What no answer was given for is 404. Of several answers to one path each is given once and the last for ever.
    """

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "ca.pem", "HoodCloud lab stub CA")
        authority.issue(folder)
        self.folder, self.ca_file = folder, authority.ca_file
        self.asked: list[Asked] = []
        self._answers: dict[str, list[Answer]] = {"sys/seal-status": [Answer(200, seal_status())]}
        self._lock = threading.Lock()
        self._server: _Https | None = None

    @property
    def address(self) -> str:
        """Where it listens; known while it runs."""
        assert self._server is not None
        return f"https://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, *answers: Answer) -> None:
        """From now on `path` (without /v1/) gives `answers` to any method: one after the other, the last for ever."""
        with self._lock:
            self._answers[path] = list(answers)

    def start(self) -> Self:
        """Listens; returns at once."""
        if self._server is None:
            self._server = _Https(self)
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Listens no more; a second call does nothing."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def next_answer(self, asked: Asked) -> Answer:
        """What `asked` gets; takes note of it."""
        with self._lock:
            self.asked.append(asked)
            answers = self._answers.get(asked.path, [Answer(404, {"errors": []})])
            return answers.pop(0) if len(answers) > 1 else answers[0]


class _Https(ThreadingHTTPServer):
    def __init__(self, stub: VaultStub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stub = stub
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(stub.folder / "cert.pem", stub.folder / "key.pem")
        # the handshake is each connection's own business: a client that stalls must not hold up the others
        self.socket = self._tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client that refuses the certificate or hangs up is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Https
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("X-Vault-Token", "")
        asked = Asked(self.command, self.path.partition("?")[0].removeprefix("/v1/"), json.loads(body or b"{}"), token)
        answer = self.server.stub.next_answer(asked)
        time.sleep(answer.after_s)
        if answer.code == 0:
            self.close_connection = True
            return
        text = json.dumps(answer.body).encode()
        self.send_response_only(answer.code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_LIST = do_GET  # noqa: N815 - the names that http.server looks for
