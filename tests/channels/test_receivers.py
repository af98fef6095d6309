"""The receivers refuse what the real ones refuse: else no test with them would prove anything."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from channels.webhook import signatures
from lab.receivers import Receivers


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


@pytest.mark.parametrize(
    ("payload", "status", "said"),
    [
        ({"text": "hello"}, 200, "ok"),
        ({"text": ""}, 400, "no_text"),
        ([], 400, "invalid_payload"),
        ({"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}, 400, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, 400, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, 400, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, 400, "invalid_blocks"),
        ({"blocks": [{"type": "divider"}] * 51}, 400, "invalid_blocks"),
    ],
)
def test_slack(receivers: Receivers, http: httpx.Client, payload: object, status: int, said: str) -> None:
    answer = http.post(receivers.credentials()["incident_slack_webhook_url"], json=payload)
    assert (answer.status_code, answer.text) == (status, said)
    assert len(receivers.arrived("slack")) == (status == 200)


def test_slack_with_another_path(receivers: Receivers, http: httpx.Client) -> None:
    answer = http.post(receivers.credentials()["incident_slack_webhook_url"] + "x", json={"text": "hello"})
    assert (answer.status_code, answer.text) == (404, "no_service")


@pytest.mark.parametrize(
    ("text", "mode", "fault"),
    [
        ("<b>a &lt; b</b>", "HTML", ""),
        ("a < b", "", ""),
        ("a < b", "HTML", "can't parse entities"),
        ("<b>a", "HTML", "can't parse entities"),
        ("<b><i>a</b></i>", "HTML", "can't parse entities"),
        ("<h1>a</h1>", "HTML", "can't parse entities"),
        ("👍" * 2048, "HTML", ""),
        ("👍" * 2049, "HTML", "too long"),
        ("&amp;" * 4096, "HTML", ""),
        (" ", "HTML", "empty"),
    ],
)
def test_telegram(receivers: Receivers, http: httpx.Client, text: str, mode: str, fault: str) -> None:
    known = receivers.credentials()
    fields = {"chat_id": known["incident_telegram_chat_id"], "text": text, "parse_mode": mode}
    url = f"{receivers.address}/bot{known['incident_telegram_bot_token']}/sendMessage"
    answer = http.post(url, data=fields).json()
    assert answer["ok"] is not bool(fault)
    assert fault in answer.get("description", "")


@pytest.mark.parametrize(("token", "chat", "status"), [("1:x", None, 401), (None, "-1", 400)])
def test_telegram_with_another_token_or_chat(
    receivers: Receivers, http: httpx.Client, token: str | None, chat: str | None, status: int
) -> None:
    known = receivers.credentials()
    fields = {"chat_id": chat or known["incident_telegram_chat_id"], "text": "hello"}
    url = f"{receivers.address}/bot{token or known['incident_telegram_bot_token']}/sendMessage"
    assert http.post(url, json=fields).status_code == status
    assert receivers.arrived() == []


MAIL = {"from": "a@x.test", "to": ["b@x.test"], "subject": "s", "text": "t"}


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({}, 200, None),
        ({"subject": "a\r\nBcc: all@x.test"}, 422, "validation_error"),
        ({"subject": ""}, 422, "validation_error"),
        ({"from": "nobody"}, 422, "invalid_from_address"),
        ({"to": []}, 422, "validation_error"),
        ({"to": ["b@x.test"] * 51}, 422, "validation_error"),
        ({"text": ""}, 422, "missing_required_field"),
    ],
)
def test_email(
    receivers: Receivers, http: httpx.Client, change: dict[str, object], status: int, name: str | None
) -> None:
    headers = {"Authorization": f"Bearer {receivers.credentials()['incident_email_api_key']}"}
    answer = http.post(f"{receivers.address}/emails", json={**MAIL, **change}, headers=headers)
    assert (answer.status_code, answer.json().get("name")) == (status, name)


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"Authorization": "Bearer no"}, 403)])
def test_email_with_another_key(receivers: Receivers, http: httpx.Client, headers: dict[str, str], status: int) -> None:
    assert http.post(f"{receivers.address}/emails", json=MAIL, headers=headers).status_code == status


def test_email_sent_twice_is_one_mail_and_another_mail_with_its_key_is_a_conflict(
    receivers: Receivers, http: httpx.Client
) -> None:
    key = receivers.credentials()["incident_email_api_key"]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "one"}
    answers = [http.post(f"{receivers.address}/emails", json={**MAIL, "text": text}, headers=headers) for text in "ttu"]
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert answers[2].json()["name"] == "invalid_idempotent_request"
    assert [one["repeats"] for one in receivers.arrived("email")] == [2]


def _hook(receivers: Receivers, *, at: float, secret: str = "", body: bytes = b'{"type":"t"}') -> dict[str, str]:
    return signatures(secret or receivers.credentials()["incident_webhook_secret"], "id-1", int(at), body)


@pytest.mark.parametrize(
    ("age_s", "forged", "status"),
    [
        (0, {}, 200),
        (301, {}, 401),
        (-400, {}, 401),
        (0, {"webhook-id": "id-2"}, 401),
        (0, {"webhook-signature": "v1,AAAA"}, 401),
        (0, {"X-Hub-Signature-256": "sha256=00"}, 401),
        (0, {"webhook-timestamp": "x"}, 401),
    ],
)
def test_webhook(receivers: Receivers, http: httpx.Client, age_s: float, forged: dict[str, str], status: int) -> None:
    headers = {**_hook(receivers, at=time.time() - age_s), **forged}
    answer = http.post(receivers.credentials()["incident_webhook_url"], content=b'{"type":"t"}', headers=headers)
    assert answer.status_code == status
    assert len(receivers.arrived("webhook")) == (status == 200)


def test_webhook_with_another_secret_or_body(receivers: Receivers, http: httpx.Client) -> None:
    url = receivers.credentials()["incident_webhook_url"]
    for headers, body in (
        (_hook(receivers, at=time.time(), secret="another secret of some length"), b'{"type":"t"}'),
        (_hook(receivers, at=time.time()), b'{"type":"u"}'),
    ):
        assert http.post(url, content=body, headers=headers).status_code == 401


def test_the_specification_s_own_library_agrees_with_our_signature(receivers: Receivers) -> None:
    secret, body = receivers.credentials()["incident_webhook_secret"], json.dumps({"a": "ü"}).encode()
    assert Webhook(secret).verify(body, _hook(receivers, at=time.time(), body=body)) == {"a": "ü"}


def test_the_page_shows_what_arrived_and_runs_nothing_of_it(receivers: Receivers, http: httpx.Client) -> None:
    evil = "<script>alert(1)</script>"
    http.post(receivers.credentials()["incident_slack_webhook_url"], json={"text": f"*Found*\n{evil} `a*b*`"})
    page = http.get(receivers.address).text
    assert "<b>Found</b>" in page
    assert "<code>a*b*</code>" in page
    assert "&lt;script&gt;" in page
    assert evil not in page


def test_the_lab_has_fresh_secrets_that_no_other_user_can_read(receivers: Receivers) -> None:
    assert len(set(receivers.canaries())) == 5
    assert (receivers.folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    values = receivers.credentials().values()
    assert all(any(canary in value for value in values) for canary in receivers.canaries())
