"""Which values of the fields count, and what is said of those that do not."""

import base64

import pytest

from channels.credentials import Credentials
from channels.fields import WeakSecretError, addresses, present, webhook_key

GOOD = {
    "incident_slack_webhook_url": "https://hooks.slack.com/services/T0/B0/abcdefghijkl",
    "incident_telegram_bot_token": "123456:ABC-def_ghi",
    "incident_telegram_chat_id": "-1001234567890",
    "incident_email_api_url": "https://api.resend.com/emails",
    "incident_email_api_key": "re_1234567890",
    "incident_email_from": "Runbooks <runbooks@hoodcloud.test>",
    "incident_email_to": "oncall@hoodcloud.test",
    "incident_webhook_url": "https://example.test/hook?key=1",
    "incident_webhook_secret": "whsec_" + base64.b64encode(b"k" * 32).decode(),
}
CHANNEL = {name: name.split("_")[1] for name in GOOD}


def test_all_channels() -> None:
    found = Credentials.of({**GOOD, "database_password": "not ours"})
    assert found.configured == ("slack", "telegram", "email", "webhook")
    assert found.partial == {}
    assert set(found.fields) == set(GOOD)


@pytest.mark.parametrize(
    "blank",
    [
        "",
        "  ",
        "CHANGEME",
        "change-me",
        "change_me",
        "TODO",
        "none",
        "null",
        "N/A",
        "<your key>",
        "your-api-key",
        "xxxx",
        "...",
    ],
)
@pytest.mark.parametrize("name", GOOD)
def test_a_placeholder_is_as_good_as_nothing(name: str, blank: str) -> None:
    found = Credentials.of({**GOOD, name: blank})
    assert CHANNEL[name] not in found.configured
    assert len(found.configured) == 3
    alone = sum(channel == CHANNEL[name] for channel in CHANNEL.values()) == 1
    assert found.partial == ({} if alone else {CHANNEL[name]: (f"{name} is missing",)})


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("incident_slack_webhook_url", "http://hooks.slack.com/services/T/B/x", "is not https"),
        ("incident_slack_webhook_url", "hooks.slack.com/services/T/B/x", "is no URL"),
        ("incident_slack_webhook_url", "https://", "is no URL"),
        ("incident_slack_webhook_url", "https://host:port/", "is no URL"),
        ("incident_slack_webhook_url", "https://ho st/x", "is no URL"),
        ("incident_slack_webhook_url", "file:///etc/passwd", "is no URL"),
        ("incident_webhook_url", "https://ok.test/\n/x", "has control characters"),
        ("incident_telegram_bot_token", "123456-ABC", "is no bot token"),
        ("incident_telegram_chat_id", "the ops group", "is no chat id"),
        ("incident_email_from", "nobody", "is no mail address"),
        ("incident_email_to", "a@b.test, nobody", "is no mail address"),
        ("incident_email_to", ",", "is no mail address"),
        ("incident_email_api_key", "schlüssel-1234", "has characters beyond ASCII"),
        ("incident_webhook_secret", "short", "has fewer than 24 bytes"),
        ("incident_webhook_secret", "whsec_c2hvcnQ=", "has fewer than 24 bytes"),
        ("incident_webhook_secret", "whsec_!!!!not base64 at all!!!!", "is no base64 after whsec_"),
    ],
)
def test_what_cannot_work_is_named_and_not_used(name: str, value: str, fault: str) -> None:
    found = Credentials.of({**GOOD, name: value})
    assert found.partial == {CHANNEL[name]: (f"{name} {fault}",)}
    assert CHANNEL[name] not in found.configured
    assert len(value) < 2 or value not in f"{found.partial} {found!r}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x"])
def test_only_loopback_may_do_without_tls(url: str) -> None:
    assert "webhook" in Credentials.of({**GOOD, "incident_webhook_url": url}).configured


@pytest.mark.parametrize(("value", "kept"), [(-100123, "-100123"), (None, None), (True, "True"), (" x y ", "x y")])
def test_values_of_any_json_type(value: object, kept: str | None) -> None:
    assert present({"incident_telegram_chat_id": value}).get("incident_telegram_chat_id") == kept


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_" + base64.b64encode(b"k" * 24).decode(), b"k" * 24),
        ("a plain secret of thirty bytes", b"a plain secret of thirty bytes"),
        ("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0", b"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0"),
    ],
)
def test_the_key_of_a_webhook(secret: str, key: bytes) -> None:
    assert webhook_key(secret) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "x" * 23,
        "whsec_",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_%%%",
        "whsec_!" + base64.b64encode(b"k" * 32).decode(),
    ],
)
def test_a_weak_webhook_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(WeakSecretError) as caught:
        webhook_key(secret)
    assert not secret or secret not in f"{caught.value}"


def test_addresses() -> None:
    assert addresses(" a@b.test,, C <c@d.test> ,") == ("a@b.test", "C <c@d.test>")
