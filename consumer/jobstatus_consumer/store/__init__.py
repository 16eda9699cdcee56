"""PostgreSQL, and the only package that imports psycopg: it writes batches, reads the tables, and owns their shape."""

from jobstatus_consumer.store.admin import check, check_purge, migrate, remarks
from jobstatus_consumer.store.audit import AuditEntry, AuditTable
from jobstatus_consumer.store.blocking import Blocker
from jobstatus_consumer.store.bulk import NewTable, new_table, refuse_taken
from jobstatus_consumer.store.comparing import ColumnBeside, ComparedPage, Differing, RowBeside, TargetTable
from jobstatus_consumer.store.connection import Limits, open_read_only
from jobstatus_consumer.store.drafting import described
from jobstatus_consumer.store.grants import role_grants
from jobstatus_consumer.store.layout import CONTENT, Row, State, content_of
from jobstatus_consumer.store.listing import JobFilter, JobLine, JobList, JobPage, JobPlace
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.overview import LogProgress, OverviewTable, TableOverview, overview
from jobstatus_consumer.store.privileges import ROLES, Role
from jobstatus_consumer.store.problem import Problem
from jobstatus_consumer.store.projecting import ProjectingStore, store_of
from jobstatus_consumer.store.purging import Finished, FinishedRows, PurgeTable
from jobstatus_consumer.store.sqlstate import MAY_NOT
from jobstatus_consumer.store.stuck import OverdueJob, WatchedTable
from jobstatus_consumer.store.table import PurgedJob, RowPosition, RowRepair, Table
from jobstatus_consumer.store.target import Target, target_of
from jobstatus_consumer.store.target_check import compare_problems, target_remarks
from jobstatus_consumer.store.target_draft import draft
from jobstatus_consumer.store.target_sql import TargetSql, grants_on_target, target_grants, target_sql
from jobstatus_consumer.store.target_trial import refused_words
from jobstatus_consumer.store.waiting import WaitingJob, WaitingReason
from jobstatus_consumer.store.writer import Store

__all__ = [
    "CONTENT",
    "MAY_NOT",
    "ROLES",
    "AuditEntry",
    "AuditTable",
    "Blocker",
    "ColumnBeside",
    "ComparedPage",
    "Differing",
    "Finished",
    "FinishedRows",
    "JobFilter",
    "JobLine",
    "JobList",
    "JobPage",
    "JobPlace",
    "Limits",
    "LogProgress",
    "NewTable",
    "OverdueJob",
    "OverviewTable",
    "Problem",
    "ProjectingStore",
    "PurgeTable",
    "PurgedJob",
    "Role",
    "Row",
    "RowBeside",
    "RowPosition",
    "RowRepair",
    "State",
    "Store",
    "Table",
    "TableName",
    "TableOverview",
    "Target",
    "TargetSql",
    "TargetTable",
    "WaitingJob",
    "WaitingReason",
    "WatchedTable",
    "check",
    "check_purge",
    "compare_problems",
    "content_of",
    "described",
    "draft",
    "grants_on_target",
    "migrate",
    "new_table",
    "open_read_only",
    "overview",
    "refuse_taken",
    "refused_words",
    "remarks",
    "role_grants",
    "store_of",
    "target_grants",
    "target_of",
    "target_remarks",
    "target_sql",
]
