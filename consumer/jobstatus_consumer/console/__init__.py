"""The console: pages and a JSON API for a browser, in a process of its own that only reads."""

from jobstatus_consumer.console.access import Access
from jobstatus_consumer.console.context import Options
from jobstatus_consumer.console.server import ConsoleServer, serve

__all__ = ["Access", "ConsoleServer", "Options", "serve"]
