"""What must not be read is not in the log, whichever library wrote it and however."""

import logging
from collections.abc import Iterator

import pytest

from keys import redaction
from keys.redaction import HIDDEN, redacted

SECRETS = {
    "telegram URL": ("POST https://api.telegram.org/bot123456:ABC-def_ghiJKL/sendMessage", "123456:ABC-def_ghiJKL"),
    "telegram token": ("token 1234567:AAE-xyzxyzxyzxyzxyzxyzxyzxyzxyzxyz0", "AAE-xyzxyz"),
    "slack URL": ("https://hooks.slack.com/services/T01/B02/abcdef0123", "T01/B02/abcdef0123"),
    "slack token": ("using xoxb-1234-5678-abcdef", "xoxb-1234-5678-abcdef"),
    "webhook secret": ("whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0", "MTIzNDU2Nzg5"),
    "vault token": ("X-Vault-Token: hvs.CAESIJ0123456789abcdefgh", "CAESIJ"),
    "openbao token": ("token s.abcdefghij0123456789ABCD used", "abcdefghij0123456789ABCD"),
    "bearer": ("{'Authorization': 'Bearer re_abcdef123456'}", "re_abcdef123456"),
    "httpx headers": ("headers=[(b'authorization', b'Bearer re_abcdef123456')]", "re_abcdef123456"),
    "postmark": ("X-Postmark-Server-Token: 0a1b2c3d-0000", "0a1b2c3d-0000"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_what_looks_like_a_secret_is_hidden(kind: str) -> None:
    text, secret = SECRETS[kind]
    assert secret not in redacted(text)
    assert HIDDEN in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "unseal vault-1 with kept shares",
        "bao operator seal -address=https://10.0.0.1:8200",
        "runbook approve 0123456789ab",
        "runbooks/sealed_vault.md#node-did-not-come-up",
        "2026-11-24 06:00 UTC",
        "nats://127.0.0.1:4222 has 3 streams",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redacted(text) == text


def test_a_known_value_is_hidden_and_of_an_url_the_path_too() -> None:
    redaction.hide(["https://example.test/a/very/private/path?k=v", "short"])
    assert redacted("GET /a/very/private/path?k=v from https://example.test/other, short") == (
        f"GET {HIDDEN} from https://example.test/other, short"
    )


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    redaction.quiet()
    with caplog.at_level(logging.DEBUG):
        yield caplog


TOKEN = "hvs.CAESIJ0123456789abcdefgh"


def test_in_a_message_and_in_its_arguments(logged: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("any")
    log.info("got %s from %d", TOKEN, 7)
    log.info("got " + TOKEN)  # noqa: G003  # that is how careless code logs
    log.info("%s", {"token": TOKEN})
    assert TOKEN not in logged.text
    assert logged.text.count(HIDDEN) == 3
    assert "from 7" in logged.text


def test_in_a_traceback(logged: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError(TOKEN)

    try:
        fail()
    except ValueError:
        logging.getLogger("any").exception("it failed")
    assert TOKEN not in logged.text
    assert "ValueError: " + HIDDEN in logged.text


def test_a_broken_format_is_no_way_out(logged: pytest.LogCaptureFixture) -> None:
    logging.getLogger("any").info("%d and %s", TOKEN)  # noqa: PLE1206  # that is the point
    assert TOKEN not in logged.text


def test_the_libraries_say_nothing_of_requests(logged: pytest.LogCaptureFixture) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://x")
    logging.getLogger("httpcore.http11").debug("request")
    logging.getLogger("telegram.Bot").error("anything")
    assert logged.text == ""


def test_calling_it_again_changes_nothing() -> None:
    redaction.quiet()
    before = logging.getLogRecordFactory()
    redaction.quiet()
    assert logging.getLogRecordFactory() is before
