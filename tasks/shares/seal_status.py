"""The one strict reading of Vault's seal-status: whatever answers otherwise is not taken for a Vault."""

from typing import TypedDict, cast

MUST = {"type": str, "initialized": bool, "sealed": bool, "t": int, "progress": int, "nonce": str}
"""What every seal-status has (developer.hashicorp.com/vault/api-docs/system/seal-status)."""

MAY = {"migration": bool, "recovery_seal": bool, "removed_from_cluster": bool, "cluster_id": str, "version": str}
"""What one version or state has and another leaves out."""

LONGEST_TEXT = 200


class SealStatus(TypedDict):
    """A seal-status of the right types; what was left out is False or empty. `progress` of `t` shares were entered."""

    type: str
    initialized: bool
    sealed: bool
    t: int
    progress: int
    nonce: str
    migration: bool
    recovery_seal: bool
    removed_from_cluster: bool
    cluster_id: str
    version: str


def seal_status_of(said: object) -> SealStatus:
    """The seal-status that `said`, a decoded JSON body, is. Raises: ValueError, when it is none."""
    if not isinstance(said, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what a server says is no mistake of our caller
    found = {name: said.get(name) for name in MUST}
    found |= {name: said.get(name, kind()) for name, kind in MAY.items()}
    for name, kind in {**MUST, **MAY}.items():
        if not _is(found[name], kind):
            raise ValueError(f"{name} is not of the type that a Vault gives it")
    return cast(SealStatus, found)


def _is(value: object, kind: type) -> bool:
    if type(value) is not kind:  # isinstance would take true for a number
        return False
    if isinstance(value, str):  # it is shown, and a nonce is journaled as one word
        return len(value) <= LONGEST_TEXT and value.isprintable() and " " not in value
    return not isinstance(value, int) or value >= 0
