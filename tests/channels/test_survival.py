"""`kill -9` between sending and writing it down; and what a process that delivers writes to its log."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from channels_cases import CHANNELS, outcome, put_in_line, statuses

from channels.credentials import Credentials
from channels.deliver import deliver
from lab.receivers import Receivers
from store.database import Database
from store.settings import Settings

_CHILD = Path(__file__).with_name("channels_child.py")


def _child(how: str, db: Database, receivers: Receivers, known: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(_CHILD), how, f"{db.url}", receivers.address]
    home = {**os.environ, "PREFECT_HOME": str(receivers.folder / "prefect")}
    return subprocess.run(
        command, input=json.dumps(known), capture_output=True, text=True, timeout=60, check=False, env=home
    )


def test_killed_between_sending_and_writing_it_down_it_is_sent_again_with_the_same_id(
    db: Database, settings: Settings, credentials: Credentials, receivers: Receivers
) -> None:
    told = put_in_line(db, outcome())
    assert _child("die", db, receivers, receivers.credentials()).returncode == -9
    assert all(status == {"queued": 1} for status in statuses(db).values())
    first = {one["channel"] for one in receivers.arrived()}
    assert first  # which channel came first is up to chance; it took the others down with it

    soon = time.monotonic() + 30  # the dead process's leases run out
    while any("queued" in status for status in statuses(db).values()) and time.monotonic() < soon:
        deliver(db, settings, deadline_s=3, credentials=credentials)
        time.sleep(0.1)
    assert all(status == {"sent": 1} for status in statuses(db).values())
    for channel in ("email", "webhook"):
        (arrived,) = receivers.arrived(channel)
        assert (arrived["id"], arrived["repeats"]) == (told, int(channel in first))
    for channel in ("slack", "telegram"):
        assert len(receivers.arrived(channel)) == 1 + (channel in first)


FAULTS = ("", "400", "429", "302", "drop")


@pytest.mark.parametrize("how", ["quiet", "prefect,levels"])
def test_no_secret_is_in_the_log_whatever_goes_wrong(db: Database, receivers: Receivers, how: str) -> None:
    for fault in FAULTS:
        put_in_line(db, outcome())
        for channel in CHANNELS if fault else ():
            receivers.fault(channel, fault, retry_after=1)
    right = receivers.credentials()
    wrong = {name: f"{value}x" if name.endswith(("_url", "_token", "_key")) else value for name, value in right.items()}
    said = ""
    for known in (right, wrong):
        put_in_line(db, outcome())
        done = _child(how, db, receivers, known)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "Delivered(channel='telegram'" in done.stdout
        said += done.stdout + done.stderr
    assert "selector" in said  # it did log in detail
    assert ("HTTP Request: POST" in said) == ("levels" in how)
    stored = b"".join(file.read_bytes() for file in Path(db.url.database or "").parent.glob("store.db*"))
    for canary in receivers.canaries():
        assert canary not in said
        assert canary.encode() not in stored


def test_without_quiet_the_log_does_tell_them(db: Database, receivers: Receivers) -> None:
    """Else the test above would prove nothing."""
    put_in_line(db, outcome())
    said = _child("loud", db, receivers, receivers.credentials()).stderr
    assert receivers.credentials()["incident_telegram_bot_token"] in said
    assert receivers.credentials()["incident_slack_webhook_url"] in said
