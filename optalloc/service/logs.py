"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

LOG = logging.getLogger("optalloc.service")


class AsJson(logging.Formatter):
    """Writes a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(said).decode()


def log(event: str, logger: logging.Logger = LOG, **fields: Any) -> None:
    """Say that something happened; tokens and bodies are never among the fields."""
    logger.info(event, extra={"fields": fields})


REQUESTS = logging.getLogger("optalloc.service.requests")


def start_logging(level: int, requests: bool) -> None:
    """Send the service's logs, and its server's, to standard error; with every request or not."""
    REQUESTS.disabled = not requests
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AsJson())
    for name, lowest in ((LOG.name, level), ("uvicorn", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(lowest)
