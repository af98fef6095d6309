"""The last-known-good file: what it gives back, and everything that makes it give nothing."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from channels.cache import FORMAT, Cache
from store.settings import Settings

FIELDS = {"incident_slack_webhook_url": "https://hooks.slack.com/services/T/B/canary-canary"}
KEY = "k" * 44  # as in the fixture `key_file`


@pytest.fixture
def cache(tmp_path: Path, key_file: Path) -> Cache:
    folder = tmp_path / "state" / "runbooks"
    return Cache(Settings(credentials_cache=folder / "channels.lkg", credentials_key=key_file))


def _file(cache: Cache) -> Path:
    return cache.settings.credentials_cache


def test_what_was_saved_comes_back_with_its_age(cache: Cache) -> None:
    assert cache.save(FIELDS) == ""
    kept = replace(cache, clock=lambda: time.time() + 3 * 3600).load()
    assert kept.fields == FIELDS
    assert kept.age_s == pytest.approx(3 * 3600, abs=5)
    assert "canary" not in f"{kept!r}"


def test_on_disk_it_is_sealed_and_its_owner_s_alone(cache: Cache) -> None:
    cache.save(FIELDS)
    assert _file(cache).stat().st_mode & 0o777 == 0o600
    assert _file(cache).parent.stat().st_mode & 0o777 == 0o700
    assert b"canary" not in _file(cache).read_bytes()
    assert [file.name for file in _file(cache).parent.iterdir()] == ["channels.lkg"]


def test_the_same_fields_never_look_the_same(cache: Cache) -> None:
    cache.save(FIELDS)
    first = _file(cache).read_bytes()
    cache.save(FIELDS)
    assert _file(cache).read_bytes()[len(FORMAT) :] != first[len(FORMAT) :]


def _flip(position: int) -> Callable[[Cache], Cache]:
    def flip(cache: Cache) -> Cache:
        sealed = bytearray(_file(cache).read_bytes())
        sealed[position] ^= 1
        _file(cache).write_bytes(sealed)
        return cache

    return flip


def _another_key(cache: Cache) -> Cache:
    file = cache.settings.credentials_key
    assert file
    file.chmod(0o600)
    file.write_text("j" * 44)
    return cache


def _mode(mode: int) -> Callable[[Cache], Cache]:
    def change(cache: Cache) -> Cache:
        assert cache.settings.credentials_key
        cache.settings.credentials_key.chmod(mode)
        return cache

    return change


def _without(what: str) -> Callable[[Cache], Cache]:
    def remove(cache: Cache) -> Cache:
        file = _file(cache) if what == "cache" else cache.settings.credentials_key
        assert file
        file.unlink()
        return cache

    return remove


def _content(content: bytes) -> Callable[[Cache], Cache]:
    def write(cache: Cache) -> Cache:
        _file(cache).write_bytes(content)
        return cache

    return write


def _short_key(cache: Cache) -> Cache:
    file = cache.settings.credentials_key
    assert file
    file.chmod(0o600)
    file.write_text("k" * 31)
    return cache


DAMAGED = "the cache is damaged, of another host, or sealed with another key"

TABLE: dict[str, tuple[Callable[[Cache], Cache], str]] = {
    "nonce flipped": (_flip(len(FORMAT)), DAMAGED),
    "middle flipped": (_flip(60), DAMAGED),
    "tag flipped": (_flip(-1), DAMAGED),
    "empty": (_content(b""), DAMAGED),
    "cut short": (_content(FORMAT + b"x" * 8), DAMAGED),
    "something else": (_content(json.dumps(FIELDS).encode()), DAMAGED),
    "another host": (lambda cache: replace(cache, host="another"), DAMAGED),
    "another key": (_another_key, DAMAGED),
    "too old": (lambda cache: replace(cache, clock=lambda: time.time() + 8 * 86_400), "8.0 days old; its limit is 7"),
    "from the future": (lambda cache: replace(cache, clock=lambda: time.time() - 3600), "days old"),
    "key for the group": (_mode(0o440), "mode 0440"),
    "key for all": (_mode(0o644), "mode 0644"),
    "key too short": (_short_key, "shorter than 32 bytes"),
    "no key": (_without("key"), "cannot be read"),
    "no cache": (_without("cache"), "there is no cache yet"),
}


@pytest.mark.parametrize("case", TABLE)
def test_it_gives_nothing_and_says_why(cache: Cache, case: str) -> None:
    assert cache.save(FIELDS) == ""
    break_it, why = TABLE[case]
    kept = break_it(cache).load()
    assert kept.fields is None
    assert why in kept.why


def test_a_version_of_the_file_cannot_pass_for_another(cache: Cache) -> None:
    cache.save(FIELDS)
    sealed = _file(cache).read_bytes()
    _file(cache).write_bytes(FORMAT.replace(b"1", b"2") + sealed[len(FORMAT) :])
    assert cache.load().fields is None


def test_a_small_clock_skew_is_forgiven(cache: Cache) -> None:
    cache.save(FIELDS)
    assert replace(cache, clock=lambda: time.time() - 200).load().age_s == 0


def test_forgotten_it_is_gone(cache: Cache) -> None:
    cache.save(FIELDS)
    cache.forget()
    assert not _file(cache).exists()
    cache.forget()


def test_a_key_of_systemd_s(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runbook-cache-key").write_text(KEY)
    (tmp_path / "runbook-cache-key").chmod(0o440)  # systemd lets the service's user in by an ACL
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    given = replace(cache, settings=cache.settings.model_copy(update={"credentials_key": None}))
    assert given.save(FIELDS) == ""
    assert given.load().fields == cache.load().fields == FIELDS


def test_without_any_key_there_is_no_cache(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    bare = replace(cache, settings=cache.settings.model_copy(update={"credentials_key": None}))
    assert bare.save(FIELDS) == bare.load().why == "no cache: RUNBOOK_CREDENTIALS_KEY is not set"
    assert not _file(cache).exists()


def test_a_disk_that_takes_nothing_keeps_the_old_file(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.save(FIELDS)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert (
        cache.save({"incident_slack_webhook_url": "new"}) == "the cache could not be written (No space left on device)"
    )
    assert cache.load().fields == FIELDS
    assert [file.name for file in _file(cache).parent.iterdir()] == ["channels.lkg"]
