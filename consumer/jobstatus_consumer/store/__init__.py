"""PostgreSQL, and the only package that knows psycopg: writing a batch, what an error means, the managed tables."""

from jobstatus_consumer.store.admin import Problem, check, migrate, rows_by_status
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.store import Store
from jobstatus_consumer.store.table import Mend, Row, Table

__all__ = ["Limits", "Mend", "Problem", "Row", "Store", "Table", "check", "migrate", "rows_by_status"]
