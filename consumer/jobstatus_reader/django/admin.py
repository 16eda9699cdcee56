"""The admin page: a list that stays quick with millions of jobs, and one job with all its columns.

Only the job's id has an index. So the list is in the order of the ids, searches for a whole id, and never counts the
table: it has the first `COUNTED` jobs, and a filter or an id leads to any other.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.functional import cached_property

from jobstatus_reader.django.apps import statuses
from jobstatus_reader.django.models import Job

COUNTED: Final = 10_000


class BoundedPaginator(Paginator):
    """Counts no further than `COUNTED`, and so has no page beyond."""

    @cached_property
    def count(self) -> int:
        """How many jobs there are, `COUNTED` at most."""
        found: int = self.object_list.order_by()[:COUNTED].count()
        return found


class StatusFilter(admin.SimpleListFilter):
    """The known statuses. To ask the table which there are would read all of it."""

    title = parameter_name = "status"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """What the page offers."""
        return [(word, word) for word in statuses()]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """The jobs that have the chosen status."""
        return queryset.filter(status=self.value()) if self.value() else queryset


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    """Nothing can be added, changed or deleted."""

    list_display = ("job_id", "status", "attempt", "occurred_at", "updated_at")
    list_filter = (StatusFilter,)
    list_per_page = 100
    ordering = ("job_id",)
    sortable_by = ("job_id",)
    search_fields = ("job_id",)
    search_help_text = "the whole id of a job"
    show_full_result_count = False
    paginator = BoundedPaginator

    def get_search_results(self, request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The one job with this id; a search for parts of ids would read the whole table."""
        term = search_term.strip()
        return (queryset.filter(job_id=term) if term else queryset), False

    def changelist_view(self, request: Any, extra_context: Any = None) -> Any:
        """The list, which says that it has an end."""
        subtitle = f"the first {COUNTED:,} in the order of their ids"
        return super().changelist_view(request, {"subtitle": subtitle, **(extra_context or {})})

    def has_add_permission(self, request: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Never."""
        return False
