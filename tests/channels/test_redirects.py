"""A node that answers 3xx: nobody follows, the secret id stays here, and the next node is asked."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from channels.cache import Cache
from channels.credentials import Source, read
from keys import approle
from lab.vault_stub import Answer, VaultStub
from runbooks.errors import Unreachable
from runbooks.sealed_vault_facts import State
from store.settings import Settings, VaultCluster
from tasks.vault.look import look_at_node

SLACK = {"incident_slack_webhook_url": "https://hooks.slack.com/services/T0/B0/canary-canary"}
LOGIN, SECRET = "auth/approle/login", "secret/data/hoodcloud/app-credentials"
CODES = (301, 302, 303, 307, 308)


@contextmanager
def _server(answer: Callable[[BaseHTTPRequestHandler], None], certificate: Path | None = None) -> Iterator[str]:
    """A server that gives one `answer` to all, with the certificate in a folder or in the clear; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer(self)
            self.end_headers()

        do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[VaultStub]:
    with VaultStub(tmp_path / "stub") as started:
        started.answer(LOGIN, Answer(200, {"auth": {"client_token": "hvs.CAESIJ0123456789abcdefgh"}}))
        started.answer(SECRET, Answer(200, {"data": {"data": SLACK, "metadata": {}}}))
        yield started


@contextmanager
def _redirecting(stub: VaultStub, code: int, target: str) -> Iterator[str]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(code)
        request.send_header("Location", f"{target}{request.path}")
        request.send_header("Content-Length", "0")

    with _server(answer, stub.folder) as address:
        yield address


@pytest.fixture
def plain() -> Iterator[tuple[str, list[str]]]:
    """A server in the clear, and the paths that it was asked for."""
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response_only(200)
        request.send_header("Content-Length", "0")

    with _server(answer) as address:
        yield address, asked


def _settings(stub: VaultStub, key_file: Path, tmp_path: Path, *addresses: str) -> Settings:
    (tmp_path / "secret-id").write_text("an-id-of-some-length")
    nodes = {f"vault-{number}": address for number, address in enumerate(addresses, 1)}
    return Settings(
        vault_addr=addresses[0],
        vault_clusters={"hoodcloud": VaultCluster(nodes=nodes, ca_file=stub.ca_file)},
        vault_role_id="role",
        vault_secret_id_path=tmp_path / "secret-id",
        vault_tls_ca_file=stub.ca_file,
        credentials_cache=tmp_path / "channels.lkg",
        credentials_key=key_file,
    )


@pytest.mark.parametrize("code", CODES)
def test_nothing_goes_where_a_redirect_leads(
    stub: VaultStub, plain: tuple[str, list[str]], key_file: Path, tmp_path: Path, code: int
) -> None:
    for target, seen in ((plain[0], plain[1]), (stub.address, stub.asked)):
        with _redirecting(stub, code, target) as address:
            settings = _settings(stub, key_file, tmp_path, address)
            Cache(settings).save(SLACK)
            found = read(settings)
            with pytest.raises(Unreachable, match="sends us elsewhere"):
                approle.login(address, stub.ca_file, settings, timeout_s=2)
            looked = look_at_node("vault-1", address, approle.client(address, stub.ca_file, timeout_s=2))
        assert seen == []
        assert (found.source, found.configured) == (Source.CACHE, ("slack",))
        assert "sends us elsewhere, where we do not go" in found.why
        assert looked.state is State.UNREACHABLE


def test_the_next_node_is_asked_instead(
    stub: VaultStub, plain: tuple[str, list[str]], key_file: Path, tmp_path: Path
) -> None:
    with _redirecting(stub, 307, plain[0]) as address:
        found = read(_settings(stub, key_file, tmp_path, address, stub.address))
    assert (found.source, found.configured) == (Source.VAULT, ("slack",))
    assert plain[1] == []


@pytest.mark.parametrize("path", [LOGIN, SECRET])
def test_a_redirect_without_a_target_is_no_answer_either(
    stub: VaultStub, key_file: Path, tmp_path: Path, path: str
) -> None:
    stub.answer(path, Answer(307))
    settings = _settings(stub, key_file, tmp_path, stub.address)
    Cache(settings).save(SLACK)
    found = read(settings)
    assert found.source is Source.CACHE
    assert "sends us elsewhere" in found.why
