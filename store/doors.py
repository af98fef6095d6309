"""By which door this process came in, when it was not started by Prefect: a command line says so here."""

from contextvars import ContextVar

from runbooks.consent import Origin

entered: ContextVar[Origin | None] = ContextVar("entered", default=None)
"""Who asked for what runs in this context; None under Prefect, whose flow run tells."""

looking_only: ContextVar[bool] = ContextVar("looking_only", default=False)
"""Set where somebody asked for a plan and for nothing else: then standing consent does not count."""
