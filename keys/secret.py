"""The fields of one secret in Vault (KV v2), from the first node that gives a decisive answer."""

from collections.abc import Iterable

from hvac.exceptions import VaultError

from keys import approle, nodes
from keys.nodes import Node
from runbooks.errors import Refused
from store.settings import Settings


def read_secret(asked: Iterable[Node], path: str, settings: Settings) -> dict[str, object] | None:
    """The fields of the secret at `path` (mount/path); None when it does not exist. Takes `nodes.LIMIT_S` at most.

    A refusal, and that the secret is not there, count only from the pinned cluster.

    Raises: BadRequest (our own settings will not do), Refused `approle-refused`, `credentials-refused`, Unreachable.
    """
    return nodes.first_answer(tuple(asked), lambda node: _vouched(node, path, settings))


def _vouched(node: Node, path: str, settings: Settings) -> dict[str, object] | None:
    try:
        fields = _read_at(node, path, settings)
    except Refused as error:
        nodes.vouch(node, error.message)
        raise
    if fields is None:
        nodes.vouch(node, f"{node.address} has no {path}")
    return fields


def _read_at(node: Node, path: str, settings: Settings) -> dict[str, object] | None:
    mount, _, below = path.strip("/").partition("/")
    vault = approle.login(node.address, node.ca_file, settings, timeout_s=nodes.LIMIT_S)
    try:
        answer = vault.secrets.kv.v2.read_secret_version(path=below, mount_point=mount, raise_on_deleted_version=True)
        return dict(answer["data"]["data"])
    except VaultError as error:
        kind = type(error).__name__
        if kind == "InvalidPath":
            return None
        if kind in approle.REFUSALS:
            raise Refused(
                "credentials-refused",
                f"{node.address} does not let our AppRole read {path} ({kind})",
                hint=f"let its policy read {mount}/data/{below}",
            ) from None
        raise approle.unreachable(node.address, error) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise approle.unreachable(node.address, error) from None
    finally:
        approle.logout(vault)
