"""PostgreSQL, and the only package that knows psycopg: writing a batch, what an error means, the managed tables."""

from jobstatus_consumer.store.admin import Problem, check, migrate, rows_by_status
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.reader import Row, RowPosition, RowRepair, Table
from jobstatus_consumer.store.writer import Store

__all__ = [
    "Limits",
    "Problem",
    "Row",
    "RowPosition",
    "RowRepair",
    "Store",
    "Table",
    "check",
    "migrate",
    "rows_by_status",
]
