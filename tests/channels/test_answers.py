"""What an answer means, as one table."""

from email.utils import formatdate
from time import time

import httpx
import pytest

from channels.answers import LONGEST_WAIT_S, Reply, Verdict, broken, judge

SENT, RETRY, DEAD = Verdict.SENT, Verdict.RETRY, Verdict.DEAD

STATUSES = {
    **dict.fromkeys((200, 201, 202, 204), SENT),
    **dict.fromkeys((301, 302, 303, 307, 308, 304), DEAD),
    **dict.fromkeys((400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 451), DEAD),
    **dict.fromkeys((408, 425, 429, 500, 501, 502, 503, 504, 520, 599), RETRY),
    **dict.fromkeys((100, 199), DEAD),
}


@pytest.mark.parametrize(("status", "verdict"), STATUSES.items())
def test_a_status_means(status: int, verdict: Verdict) -> None:
    answer = judge(status)
    assert answer.verdict is verdict
    assert verdict is SENT or str(status) in answer.why


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        (None, None),
        ("30", 30),
        (" 7 ", 7),
        ("0.5", 1),
        ("0", 1),
        ("-5", None),
        ("999999999", LONGEST_WAIT_S),
        ("9" * 5000, None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 1),
        ("Wed, 99 Jan 2020 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT_S),
    ],
)
def test_retry_after_is_honoured_within_reason(header: str | None, after_s: float | None) -> None:
    assert judge(429, retry_after=header).after_s == after_s


def test_retry_after_may_be_a_date() -> None:
    after_s = judge(503, retry_after=formatdate(time() + 60, usegmt=True)).after_s
    assert after_s is not None
    assert 50 < after_s <= 60


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        (b"no_service", b"", "no_service"),
        (b" channel_is_archived\n", b"", "channel_is_archived"),
        (b"<html>https://hooks.slack.com/services/T/B/secret</html>", b"", ""),
        (b"", b"", ""),
        (b"\xff\xfe", b"", ""),
        (b'{"statusCode": 422, "name": "validation_error"}', b"name", "validation_error"),
        (b'{"name": "re_SECRET_key"}', b"name", ""),
        (b'{"name": "free text with a secret"}', b"name", ""),
    ],
)
def test_of_a_body_only_a_code_word_is_repeated(body: bytes, field: bytes, word: str) -> None:
    assert Reply(400, {}, body).code_word(field) == word


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("https://secret"), "cannot be reached"),
        (httpx.ReadTimeout("https://secret"), "gave no answer within 5.0 s"),
        (TimeoutError(), "gave no answer within 5.0 s"),
        (httpx.RemoteProtocolError("https://secret"), "broke the connection off"),
        (OSError("https://secret"), "broke the connection off"),
    ],
)
def test_no_answer_is_tried_again_and_the_error_is_not_repeated(error: Exception, words: str) -> None:
    answer = broken(error, 5)
    assert answer.verdict is RETRY
    assert words in answer.why
    assert "secret" not in answer.why
