"""The log of a run as Prefect shows it: what a person is told in one line stays one line, and no secret passes."""

import logging

from keys import redaction
from runbooks.errors import RunbookError

_PREFECTS = ("prefect.flow_runs", "prefect.task_runs")
"""Prefect's loggers that write out the traceback of whatever a flow or a task raised."""

_ONCE_MORE = "Engine execution exited with unexpected exception"
"""Prefect says a failure of a deployed flow a second time in these words, with a second traceback."""


class _Plainly(logging.Filter):
    """Says a `RunbookError` as what it is: an answer, not an accident. Everything else keeps its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, RunbookError):
            return True
        if record.getMessage().startswith(_ONCE_MORE):
            return False
        record.msg, record.args, record.exc_info, record.exc_text = str(error), (), None, None
        return True


def set_up() -> None:
    """Make the logs of this process fit to read and safe to keep; every flow does so by importing `tasks.turn`."""
    redaction.quiet()
    for name in _PREFECTS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Plainly) for known in logger.filters):
            logger.addFilter(_Plainly())
