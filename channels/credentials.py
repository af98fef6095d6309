"""Where the channels lie and with which keys: from Vault, else from the last-known-good file, else nothing, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import SecretStr

from channels.cache import Cache
from channels.fields import FIELDS, SECRET, present, wrong
from keys import nodes, redaction
from keys.secret import read_secret
from runbooks.errors import BadRequest, Refused, Unreachable
from store.settings import Settings


class Source(StrEnum):
    """Where credentials came from."""

    VAULT = "vault"
    CACHE = "cache"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is known of the channels.

    `known` tells an unconfigured channel (skip it) from one that may be configured, but Vault cannot be asked (wait).
    `age_s` is the age of what came from the cache. `why` says what is not as it should be.
    """

    fields: Mapping[str, SecretStr] = field(default_factory=dict)
    source: Source = Source.NONE
    known: bool = False
    age_s: float = 0.0
    why: str = ""

    @classmethod
    def of(
        cls, read: Mapping[str, object], source: Source = Source.VAULT, age_s: float = 0.0, why: str = ""
    ) -> "Credentials":
        """From the fields as Vault or the cache holds them. Every value is hidden in logs from now on."""
        usable = present(read)
        redaction.hide(value for name, value in usable.items() if name in SECRET)
        return cls({name: SecretStr(value) for name, value in usable.items()}, source, known=True, age_s=age_s, why=why)

    def value(self, name: str) -> str:
        """The value of a field of a configured channel."""
        return self.fields[name].get_secret_value()

    @property
    def configured(self) -> tuple[str, ...]:
        """The channels that can be used."""
        return tuple(channel for channel in FIELDS if not self._lacks(channel))

    @property
    def partial(self) -> dict[str, tuple[str, ...]]:
        """The channels that somebody meant to configure but that cannot be used, each with what is missing or wrong."""
        return {
            channel: self._lacks(channel)
            for channel, names in FIELDS.items()
            if self._lacks(channel) and any(name in self.fields for name in names)
        }

    @property
    def notice(self) -> str:
        """What readers of a message should know of how it was sent; empty when all is well."""
        return f"credentials from cache, {age(self.age_s)} old" if self.source is Source.CACHE else ""

    def _lacks(self, channel: str) -> tuple[str, ...]:
        values = {name: self.value(name) for name in FIELDS[channel] if name in self.fields}
        faults = wrong(values)
        missing = (f"{name} is missing" for name in FIELDS[channel] if name not in values)
        return (*missing, *(f"{name} {fault}" for name, fault in faults.items()))


def read(settings: Settings) -> Credentials:
    """The credentials now; takes 2 s at most (`nodes.LIMIT_S`) and raises nothing.

    Vault answers: they are kept in the cache for later. Sealed, silent, overloaded, or a refusal by another Vault than
    the pinned one: the cache. The secret is gone: nothing is configured. The AppRole is refused: nothing, and the cache
    goes too, for what was withdrawn must not come back.
    """
    redaction.quiet()
    cache = Cache(settings)
    try:
        asked = nodes.of(settings)
        if not asked:
            return Credentials(known=True, why="no Vault is set, so no channel is configured")
        fields = read_secret(asked, settings.app_credentials, settings)
    except Unreachable as error:
        return _from_cache(cache, error.message)
    except (BadRequest, Refused) as error:
        if isinstance(error, Refused):
            cache.forget()
        return Credentials(why=error.message)
    if fields is None:
        cache.forget()
        return Credentials(source=Source.VAULT, known=True, why=f"{settings.app_credentials} does not exist in Vault")
    return Credentials.of(fields, why=cache.save(present(fields)))


def _from_cache(cache: Cache, why: str) -> Credentials:
    kept = cache.load()
    if kept.fields is None:
        return Credentials(why=f"{why}; {kept.why}")
    return Credentials.of(kept.fields, Source.CACHE, kept.age_s, why)


def age(seconds: float) -> str:
    """A time span, in the largest unit that says enough: `40 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
