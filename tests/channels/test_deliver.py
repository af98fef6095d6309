"""From the outbox to the far side and back, with every kind of trouble on the way."""

import contextlib
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from channels_cases import CHANNELS, outcome, put_in_line, statuses

from channels.credentials import Credentials, Source
from channels.deliver import deliver
from channels.drain import MOST_ATTEMPTS, Delivered, backoff
from lab.receivers import Receivers
from store import outbox
from store.database import Database
from store.settings import Settings


def _by_channel(results: tuple[Delivered, ...]) -> dict[str, Delivered]:
    return {one.channel: one for one in results}


def test_every_channel_tells_it_once(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    told = put_in_line(db, outcome())
    results = deliver(db, settings, deadline_s=5, credentials=credentials)
    assert results == tuple(Delivered(channel, sent=1) for channel in CHANNELS)
    assert receivers.refused() == []
    arrived = {one["channel"]: one for one in receivers.arrived()}
    assert set(arrived) == set(CHANNELS)
    assert arrived["email"]["id"] == arrived["webhook"]["id"] == arrived["webhook"]["message"]["data"]["id"] == told
    assert deliver(db, settings, deadline_s=5, credentials=credentials) == ()
    assert len(receivers.arrived()) == len(CHANNELS)


DEAD_AT_ONCE = ("302", "400", "401", "403", "404", "410", "422")
TRY_AGAIN = ("408", "425", "429", "500", "502", "503", "504", "drop")


def _fault_all(receivers: Receivers, kind: str, *, times: int = 1, retry_after: float = 1) -> None:
    for channel in CHANNELS:
        receivers.fault(channel, kind, times=times, retry_after=retry_after)


@pytest.mark.parametrize("kind", DEAD_AT_ONCE)
def test_an_answer_that_stays_the_same_ends_it(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers, kind: str
) -> None:
    _fault_all(receivers, kind, times=99)
    put_in_line(db, outcome())
    results = deliver(db, settings, deadline_s=5, credentials=credentials)
    assert [(one.channel, one.sent, one.dead, one.retried) for one in results] == [(one, 0, 1, 0) for one in CHANNELS]
    assert all(f"{one.channel} answered {kind}" in one.why for one in results)
    assert len(receivers.refused()) == len(CHANNELS)  # one attempt each, and no redirect was followed
    assert {letter.channel: letter.why for letter in outbox.dead_letters(db)} == {
        one.channel: one.why for one in results
    }


@pytest.mark.parametrize("kind", TRY_AGAIN)
def test_trouble_that_may_pass_is_tried_again(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers, kind: str
) -> None:
    _fault_all(receivers, kind, retry_after=600)
    put_in_line(db, outcome())
    results = deliver(db, settings, deadline_s=0.8, credentials=credentials)
    assert [(one.channel, one.sent, one.dead, one.retried) for one in results] == [(one, 0, 0, 1) for one in CHANNELS]
    assert all(status == {"queued": 1} for status in statuses(db).values())
    again = deliver(db, settings, deadline_s=5, credentials=credentials, ignore_backoff=True)
    assert again == tuple(Delivered(channel, sent=1) for channel in CHANNELS)
    assert len(receivers.arrived()) == len(CHANNELS)


def test_retry_after_is_waited_for_within_one_delivery(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    _fault_all(receivers, "429")
    put_in_line(db, outcome())
    began = time.time()
    results = deliver(db, settings, deadline_s=5, credentials=credentials)
    assert [(one.sent, one.retried) for one in results] == [(1, 1)] * len(CHANNELS)
    assert all(one["at"] - began >= 1 for one in receivers.arrived())


def test_retry_after_keeps_a_later_delivery_away(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    receivers.fault("slack", "429", retry_after=300)
    put_in_line(db, outcome())
    deliver(db, settings, deadline_s=2, credentials=credentials)
    assert deliver(db, settings, deadline_s=2, credentials=credentials) == ()
    assert receivers.arrived("slack") == []


@pytest.mark.parametrize("channel", ["slack", "telegram"])
def test_a_hanging_channel_delays_no_other(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers, channel: str
) -> None:
    receivers.fault(channel, "hang", times=99)
    for _ in range(3):
        put_in_line(db, outcome())
    began = time.time()
    results = _by_channel(deliver(db, settings, deadline_s=1.5, credentials=credentials))
    assert time.time() - began < 2
    assert results[channel].sent == 0
    assert "gave no answer" in results[channel].why
    others = [one for one in receivers.arrived() if one["channel"] != channel]
    assert len(others) == 9
    assert max(one["at"] for one in others) - began < 1
    assert statuses(db)[channel] == {"queued": 3}


def test_an_answer_that_drips_for_ever_ends_with_the_limit(db: Database, settings: Settings) -> None:
    """httpx's own limits hold for each read, so that such an answer would never be given up."""

    def drip(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while connection.send(b"x"):
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/services/T0/B0/dripping-dripping"
        dripping = Credentials.of({"incident_slack_webhook_url": url})
        put_in_line(db, outcome())
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        found = _by_channel(deliver(db, settings, deadline_s=1.5, credentials=dripping))["slack"]
        thread.join(5)
    assert not thread.is_alive()  # we hung up
    assert (found.sent, found.retried, found.why) == (0, 1, "slack gave no answer within 1.0 s")


def test_nobody_listens(db: Database, settings: Settings, receivers: Receivers) -> None:
    gone = {
        name: value.replace(receivers.address, "http://127.0.0.1:9") for name, value in receivers.credentials().items()
    }
    put_in_line(db, outcome())
    nowhere = settings.model_copy(update={"telegram_api": "http://127.0.0.1:9"})
    for found in deliver(db, nowhere, deadline_s=0.8, credentials=Credentials.of(gone)):
        assert found.retried >= 1
        assert "cannot be reached" in found.why
    assert all(status == {"queued": 1} for status in statuses(db).values())


def test_the_news_of_one_run_arrive_in_order(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    _fault_all(receivers, "503")
    told = [outcome(f"run-{run}", summary=f"news {number} of {run}") for number in range(3) for run in "ab"]
    for one in told:
        put_in_line(db, one)
    assert [one.sent for one in deliver(db, settings, deadline_s=12, credentials=credentials)] == [6] * len(CHANNELS)
    for channel in CHANNELS:
        arrived = "".join(f"{one['message']}" for one in receivers.arrived(channel))
        for run in "ab":
            first, second, third = (arrived.index(f"news {number} of {run}") for number in range(3))
            assert first < second < third


def test_only_the_run_that_was_asked_for(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    put_in_line(db, outcome("one"))
    put_in_line(db, outcome("two"))
    assert {one.sent for one in deliver(db, settings, run="two", deadline_s=5, credentials=credentials)} == {1}
    assert [one["message"]["data"]["origin"]["run"] for one in receivers.arrived("webhook")] == ["two"]
    assert all(status == {"sent": 1, "queued": 1} for status in statuses(db).values())


@pytest.mark.parametrize("channel", ["email", "webhook"])
def test_what_arrived_but_was_not_answered_is_one_message_all_the_same(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers, channel: str
) -> None:
    receivers.fault(channel, "lost")
    put_in_line(db, outcome())
    deliver(db, settings, deadline_s=0.8, credentials=credentials)
    # the age of the cache is in the mail, which makes it another text with the same key
    older = replace(credentials, source=Source.CACHE, age_s=7300.0)
    found = _by_channel(deliver(db, settings, deadline_s=5, credentials=older, ignore_backoff=True))[channel]
    assert found.sent == 1
    assert [one["repeats"] for one in receivers.arrived(channel)] == [1]


@pytest.mark.parametrize("channel", ["slack", "telegram"])
def test_where_repeats_cannot_be_told_apart_they_say_so(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers, channel: str
) -> None:
    receivers.fault(channel, "lost")
    put_in_line(db, outcome())
    deliver(db, settings, deadline_s=0.8, credentials=credentials)
    deliver(db, settings, deadline_s=5, credentials=credentials, ignore_backoff=True)
    first, second = (f"{one['message']}" for one in receivers.arrived(channel))
    assert "attempt" not in first
    assert "(attempt 2)" in second


def test_telegram_reads_plain_text_when_it_cannot_read_our_html(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    receivers.fault("telegram", "parse")
    put_in_line(db, outcome())
    assert _by_channel(deliver(db, settings, deadline_s=5, credentials=credentials))["telegram"].sent == 1
    (arrived,) = receivers.arrived("telegram")
    assert "parse_mode" not in arrived["message"]
    assert "unseal vault-1" in arrived["message"]["text"]


def test_telegram_follows_a_group_that_moved_and_says_what_to_correct(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    receivers.fault("telegram", "migrated")
    put_in_line(db, outcome())
    found = _by_channel(deliver(db, settings, deadline_s=5, credentials=credentials))["telegram"]
    chat = receivers.arrived("telegram")[0]["message"]["chat_id"]
    assert chat != receivers.credentials()["incident_telegram_chat_id"]
    assert found == Delivered(
        "telegram", sent=1, why=f"telegram the group has a new id: set incident_telegram_chat_id to {chat}"
    )


def test_a_letter_is_given_up_after_a_day_of_trouble_and_not_before(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    receivers.fault("slack", "503", times=99, retry_after=900)
    put_in_line(db, outcome())
    claim, changes = outbox.claim, dict[str, Any]()

    def aged(db: Database, channel: str, **more: Any) -> outbox.Letter | None:
        letter = claim(db, channel, **more)
        return letter and replace(letter, **changes)

    monkeypatch.setattr(outbox, "claim", aged)
    old: dict[str, Any] = {"created_at": time.time() - 90_000}
    often: dict[str, Any] = {"attempt": MOST_ATTEMPTS}
    for now, dead in ((old, 0), (often, 0), ({**old, **often}, 1)):
        changes.clear()
        changes.update(now)
        results = deliver(db, settings, deadline_s=0.8, credentials=credentials, ignore_backoff=True)
        assert _by_channel(results)["slack"].dead == dead


def test_a_store_that_breaks_off_raises_nothing(
    db: Database, settings: Settings, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_line(db, outcome())
    monkeypatch.setattr(outbox, "sent", lambda *_: 1 / 0)
    results = deliver(db, settings, deadline_s=5, credentials=credentials)
    assert {one.why for one in results} == {"a fault of ours: ZeroDivisionError"}


def test_no_time_sends_nothing(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    put_in_line(db, outcome())
    deliver(db, settings, deadline_s=0, credentials=credentials)
    assert receivers.arrived() == []
    assert all(status == {"queued": 1} for status in statuses(db).values())


@pytest.mark.parametrize("attempt", [1, 2, 5, 50, 100_000])
def test_waits_double_and_have_a_limit(attempt: int) -> None:
    assert min(1.0 * 2 ** min(attempt - 1, 20), 450) <= backoff(attempt) <= min(2.0 * 2 ** min(attempt - 1, 20), 900)
