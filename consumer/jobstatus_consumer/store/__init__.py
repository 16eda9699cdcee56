"""PostgreSQL, and the only package that imports psycopg: it writes batches, reads the tables, and owns their shape."""

from jobstatus_consumer.store.admin import Problem, check, check_purge, migrate, remarks
from jobstatus_consumer.store.blocking import Blocker
from jobstatus_consumer.store.bulk import NewTable, new_table, refuse_taken
from jobstatus_consumer.store.comparing import ColumnBeside, ComparedPage, Differing, RowBeside, TargetTable
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.layout import CONTENT, Row, State, content_of
from jobstatus_consumer.store.overview import LogProgress, TableOverview, overview
from jobstatus_consumer.store.projecting import ProjectingStore, store_of
from jobstatus_consumer.store.purging import Finished, FinishedRows, PurgeTable
from jobstatus_consumer.store.stuck import OverdueJob, OverdueTable
from jobstatus_consumer.store.table import PurgedJob, RowPosition, RowRepair, Table
from jobstatus_consumer.store.target import Target, target_of
from jobstatus_consumer.store.waiting import WaitingJob, WaitingReason
from jobstatus_consumer.store.writer import Store

__all__ = [
    "CONTENT",
    "Blocker",
    "ColumnBeside",
    "ComparedPage",
    "Differing",
    "Finished",
    "FinishedRows",
    "Limits",
    "LogProgress",
    "NewTable",
    "OverdueJob",
    "OverdueTable",
    "Problem",
    "ProjectingStore",
    "PurgeTable",
    "PurgedJob",
    "Row",
    "RowBeside",
    "RowPosition",
    "RowRepair",
    "State",
    "Store",
    "Table",
    "TableOverview",
    "Target",
    "TargetTable",
    "WaitingJob",
    "WaitingReason",
    "check",
    "check_purge",
    "content_of",
    "migrate",
    "new_table",
    "overview",
    "refuse_taken",
    "remarks",
    "store_of",
    "target_of",
]
