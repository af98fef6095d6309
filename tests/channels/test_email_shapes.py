"""The same mail in the shape of each service."""

import pytest

from channels.email import Mail, shaped

MAIL = Mail("the-id", "Runbooks <from@x.test>", ("a@x.test", "B <b@x.test>"), "subject", "<p>page</p>", "text")


def test_resend() -> None:
    headers, body = shaped("https://api.resend.com/emails", MAIL, "key")
    assert (headers["Authorization"], headers["Idempotency-Key"]) == ("Bearer key", "the-id")
    assert body == {
        "from": "Runbooks <from@x.test>",
        "to": ["a@x.test", "B <b@x.test>"],
        "subject": "subject",
        "html": "<p>page</p>",
        "text": "text",
    }


def test_sendgrid() -> None:
    headers, body = shaped("https://api.sendgrid.com/v3/mail/send", MAIL, "key")
    assert headers == {"Authorization": "Bearer key", "Content-Type": "application/json"}
    assert body["personalizations"] == [
        {"to": [{"email": "a@x.test"}, {"email": "b@x.test"}], "custom_args": {"outcome": "the-id"}}
    ]
    assert body["from"] == {"email": "from@x.test", "name": "Runbooks"}
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]


def test_postmark() -> None:
    headers, body = shaped("https://api.postmarkapp.com/email", MAIL, "key")
    assert headers == {"X-Postmark-Server-Token": "key", "Content-Type": "application/json"}
    assert (body["From"], body["To"]) == ("Runbooks <from@x.test>", "a@x.test, B <b@x.test>")
    assert (body["Subject"], body["HtmlBody"], body["TextBody"]) == ("subject", "<p>page</p>", "text")


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://postmarkapp.com.evil.test/email", "Idempotency-Key"),
        ("https://notsendgrid.com/v3/mail/send", "Idempotency-Key"),
        ("https://API.PostmarkApp.com/email", "X-Postmark-Server-Token"),
    ],
)
def test_the_host_decides_and_not_something_like_it(url: str, header: str) -> None:
    assert header in shaped(url, MAIL, "key")[0]
