"""How `lab break` and `lab status` reach the `lab up` of another terminal: a socket in the lab's folder, mode 0600.

One line comes in (`break vault`), one JSON object goes out: `said`, or the three parts of an error.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from runbooks.errors import BadRequest, RunbookError

SOCKET = "control"
_ANSWER_LIMIT_S = 120


@contextlib.contextmanager
def serve(folder: Path, answer: Callable[[str], str]) -> Iterator[None]:
    """Answers, in a thread of its own and one at a time, until the block ends. A RunbookError is an answer, too."""
    (folder / SOCKET).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, _short_path(folder) as path:
        before = os.umask(0o177)
        listener.bind(path)
        os.umask(before)
        listener.listen()
        threading.Thread(target=_answer_all, args=(listener, answer), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            (folder / SOCKET).unlink(missing_ok=True)


def ask(folder: Path, question: str) -> str:
    """What the lab in `folder` answers. Raises: BadRequest `no-lab`, or what it says."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            _connect(connection, folder)
        except OSError:
            hint = f"start one with `lab up --folder {folder}`, or name the folder of one that runs"
            raise BadRequest("no-lab", f"no lab is up in {folder}", hint=hint) from None
        connection.sendall(f"{question}\n".encode())
        with connection.makefile() as stream:
            answer = json.loads(stream.read() or "{}")
    if "said" in answer:
        return str(answer["said"])
    reference, message = answer.get("reference", "no-lab"), answer.get("message", "the lab ended while it was asked")
    raise BadRequest(reference, message, hint=answer.get("hint", "start it again"))


def is_served(folder: Path) -> bool:
    """Whether a lab is up, or coming up, in `folder`."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        _connect(connection, folder)
        return True
    return False


def _connect(connection: socket.socket, folder: Path) -> None:
    connection.settimeout(_ANSWER_LIMIT_S)
    with _short_path(folder) as path:
        connection.connect(path)


def _answer_all(listener: socket.socket, answer: Callable[[str], str]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError), connection.makefile("rw") as stream:
            try:
                said = {"said": answer(stream.readline().strip())}
            except RunbookError as error:
                said = {"reference": error.reference, "message": error.message, "hint": error.hint}
            json.dump(said, stream)


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """A path of the socket that fits into the 107 bytes that a socket may have, however deep the folder is."""
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)
