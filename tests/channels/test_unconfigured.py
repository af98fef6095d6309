"""Channels that are not configured, half configured, or not known; and news that cannot wait for the store."""

from channels_cases import CHANNELS, FAILED, outcome, put_in_line, statuses

from channels.credentials import Credentials
from channels.deliver import NO_STORE, deliver, tell_now
from channels.drain import Delivered
from lab.receivers import Receivers
from store.database import Database
from store.settings import Settings


def test_what_is_not_configured_is_left_out_and_what_is_half_configured_says_so(
    db: Database, settings: Settings, receivers: Receivers
) -> None:
    known = receivers.credentials()
    half = Credentials.of(
        {**known, "incident_email_api_key": "CHANGEME", "incident_webhook_url": "", "incident_webhook_secret": ""}
    )
    put_in_line(db, outcome())
    results = {one.channel: one for one in deliver(db, settings, deadline_s=5, credentials=half)}
    assert (results["slack"].sent, results["telegram"].sent) == (1, 1)
    assert results["email"] == Delivered("email", skipped=1, why="partly configured: incident_email_api_key is missing")
    assert results["webhook"] == Delivered("webhook", skipped=1, why="not configured")
    assert receivers.arrived("email") == receivers.arrived("webhook") == []


def test_while_credentials_are_not_known_everything_stays_in_line(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    put_in_line(db, outcome())
    put_in_line(db, outcome())
    results = deliver(db, settings, deadline_s=5, credentials=Credentials(why="Vault is sealed; there is no cache yet"))
    assert receivers.arrived() == []
    assert {one.waiting for one in results} == {1}
    assert {one.why for one in results} == {"credentials not known: Vault is sealed; there is no cache yet"}
    assert all(status == {"queued": 2} for status in statuses(db).values())
    deliver(db, settings, deadline_s=5, credentials=credentials, ignore_backoff=True)
    assert all(status == {"sent": 2} for status in statuses(db).values())


def test_nothing_is_configured_without_a_vault(db: Database, settings: Settings) -> None:
    put_in_line(db, outcome())
    bare = settings.model_copy(update={"vault_addr": None, "vault_clusters": {}})
    results = deliver(db, bare, deadline_s=5)
    assert {(one.skipped, one.why) for one in results} == {
        (1, "not configured: no Vault is set, so no channel is configured")
    }


def test_without_a_store_the_news_go_out_all_the_same(
    settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    results = tell_now(settings, FAILED, key="the-key", deadline_s=5, credentials=credentials)
    assert results == tuple(Delivered(channel, sent=1) for channel in CHANNELS)
    assert NO_STORE in receivers.arrived("slack")[0]["message"]["blocks"][-1]["text"]["text"]
    assert [receivers.arrived(channel)[0]["id"] for channel in ("email", "webhook")] == ["the-key"] * 2
    tell_now(settings, FAILED, key="the-key", deadline_s=5, credentials=credentials)
    assert [receivers.arrived(channel)[0]["repeats"] for channel in ("email", "webhook")] == [1, 1]


def test_without_a_store_trouble_is_told_and_delays_nobody(
    settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    receivers.fault("slack", "hang")
    receivers.fault("telegram", "429")
    receivers.fault("webhook", "410")
    results = {one.channel: one for one in tell_now(settings, FAILED, key="k", deadline_s=3, credentials=credentials)}
    assert results["slack"] == Delivered("slack", dead=1, why="slack gave no answer within 1.0 s")
    assert results["telegram"] == Delivered("telegram", dead=1, why="telegram answered 429")
    assert results["email"] == Delivered("email", sent=1)
    assert results["webhook"] == Delivered("webhook", dead=1, why="webhook answered 410")
    unknown = tell_now(settings, FAILED, key="k", deadline_s=3, credentials=Credentials(why="Vault is sealed"))
    assert {(one.skipped, one.why) for one in unknown} == {(1, "not configured: Vault is sealed")}
