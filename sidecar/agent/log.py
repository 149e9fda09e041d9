"""One structured log line per state change: JSON off a terminal, readable columns on one.

The event is a fixed snake_case phrase, facts are fields. Cores do not log; the daemon writes down the
transitions that they return.
"""

from __future__ import annotations

import logging
import sys

# Only to draw tracebacks, which nobody sees here, structlog loads rich where it finds it: 60 ms of each start.
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

del sys.modules["rich"]

__all__ = ["configure", "log"]

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def configure(level: str, node: str) -> None:
    """Send log lines to standard error, from `level` on, each with the node's name."""
    terminal = sys.stderr.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=node)
