"""By which door this process came in, when it was not started by Prefect: a command line says so here."""

from contextvars import ContextVar

from runbooks.consent import Origin

entered: ContextVar[Origin | None] = ContextVar("entered", default=None)
"""Who asked for what runs in this context; None under Prefect, whose flow run tells."""
