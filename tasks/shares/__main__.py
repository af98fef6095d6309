"""The program's two ways in: a run's job on standard input, or a holder at a terminal (`holder`)."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from tasks.shares.hardening import harden
from tasks.shares.sources import OpenShare, Unopened, look_at, open_share, read_share


def main() -> int:
    """Run as the program. Exit code 0 unless the job could not be understood; how it ended is in the last line."""
    if sys.argv[1:2] == ["holder"]:
        harden()
        return _holder(json.loads(sys.argv[2]))
    job = json.loads(sys.stdin.readline())
    harden(parent=job["parent"])
    _say(_look(job) if job["do"] == "look" else _give(job))
    return 0


def _look(job: dict[str, Any]) -> dict[str, Any]:
    seen: dict[str, str] = {}
    shares = []
    for reference in job["references"]:
        fingerprint, trouble = look_at(reference)
        if fingerprint and fingerprint in seen:
            trouble = f"is the same share as {seen[fingerprint]}"
        seen.setdefault(fingerprint, reference)
        shares.append({"reference": reference, "trouble": trouble})
    return {"ended": "looked", "shares": shares}


def _give(job: dict[str, Any]) -> dict[str, Any]:
    from tasks.shares.attempt import NodeApi, Stopped, give  # TLS and HTTP: 25 ms that a look does without

    shares, troubles = _open(job["references"])
    if len(shares) < job["threshold"]:
        why = f"{len(shares)} of the {job['threshold']} shares needed could be opened: {'; '.join(troubles)}"
        return {"ended": "shares-missing", "why": why}
    try:
        node = NodeApi(job["address"], job["ca_file"])
        first = [share for share in shares if share.reference in job.get("first", ())]
        if job.get("first") and not first and job["joins"]:
            raise Stopped("shares-missing", "none of the shares that opened another node could be opened again")
        given = give(node, shares, job["threshold"], _ask_parent, joins=job["joins"], first=first)
    except Stopped as stop:
        return {"ended": stop.kind, "why": "; ".join([stop.why, *troubles])}
    return {
        "ended": "given",
        "up": given.up,
        "tries": given.tries,
        "helped": given.helped,
        # only what opened a node by itself is known to be good
        "used_references": [share.reference for share in given.used if given.up and not given.helped]
        or list(job.get("first", ())),
        "used": [repr(share) for share in given.used],
        "wrong": [repr(share) for share in given.wrong],
        "troubles": troubles,
    }


def _open(references: list[str]) -> tuple[list[OpenShare], list[str]]:
    shares: dict[str, OpenShare] = {}
    troubles = []
    for reference in references:
        try:
            share = open_share(reference)
        except Unopened as trouble:
            troubles.append(f"{reference} {trouble}")
            continue
        if share.fingerprint in shares:
            troubles.append(f"{reference} is the same share as {shares[share.fingerprint].reference}")
        else:
            shares[share.fingerprint] = share
    return list(shares.values()), troubles


def _ask_parent(nonce: str, progress: int) -> bool:
    _say({"nonce": nonce, "progress": progress})
    return sys.stdin.readline().strip() == "go on"


def _holder(job: dict[str, Any]) -> int:
    """Give one typed share to every sealed node of the cluster, straight from this terminal."""
    try:
        _say_where(job)
        share = OpenShare("your share", read_share(_typed().encode("ascii", "replace")))
    except OSError as error:
        print(f"the CA file {job['ca_file']} cannot be read: {error.strerror}; nothing was sent", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError):
        print("\n" * sys.stdin.isatty() + "stopped; nothing was sent", file=sys.stderr)
        return 130
    except Unopened as trouble:
        print(f"your share {trouble}; nothing was sent", file=sys.stderr)
        return 2
    print(f"fingerprint of your share: {share.fingerprint}")
    worst = 0
    for name, address in job["nodes"].items():
        try:
            word, code = _give_one(address, job["ca_file"], share)
        except KeyboardInterrupt:
            print(f"stopped; {name} may have got your share: giving it again does no harm", file=sys.stderr)
            return 130
        print(f"{name}: {word}", flush=True)
        worst = max(worst, code)
    return worst


def _say_where(job: dict[str, Any]) -> None:
    """Where the share will go, on stderr: who is asked for it can compare that with what was agreed."""
    if job["nodes"]:
        ca = hashlib.sha256(Path(job["ca_file"]).read_bytes()).hexdigest()[:16]
        for name, address in job["nodes"].items():
            print(f"your share goes to {name} {address} (CA {ca})", file=sys.stderr, flush=True)


def _give_one(address: str, ca_file: str, share: OpenShare) -> tuple[str, int]:
    from tasks.shares.attempt import NodeApi, Rejected, Stopped, unfit

    try:
        node = NodeApi(address, ca_file)
        before = node.status()
        finding, words = unfit(before)
        if finding:
            return f"{words}; it was given nothing", 3
        if not before["sealed"]:
            return "is unsealed already; it was given nothing", 0
        after = node.give(share.key)
    except Stopped as stop:
        return stop.why, 6
    except Rejected:
        return (
            f"refused the {before['t']} shares it had: one of them was wrong. All {before['t']} holders give again",
            7,
        )
    if not after["sealed"]:
        return "is unsealed", 0
    if after["progress"] == before["progress"] > 0 and after["nonce"] == before["nonce"]:
        return f"already had this share ({after['progress']} of {after['t']})", 0
    if after["progress"] == 0:  # the set is complete: a node that joins its cluster answers so
        return "has all its shares and is coming up", 0
    return f"has {after['progress']} of {after['t']} shares (attempt {after['nonce'][:8]})", 0


def _typed() -> str:
    stream: TextIO = sys.stdin
    if stream.isatty():
        import getpass

        return getpass.getpass("your key share (it is not shown): ")
    return stream.readline(4096)


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
