"""The crisis in numbers."""

from __future__ import annotations

from jobstatus_demo.plan import RANKS, Plan


def test_the_crisis_has_its_size() -> None:
    plan = Plan()
    assert (plan.workers, plan.jobs, plan.updates) == (16, 3957, 11_871)
    assert plan.reported().total() == 11_871


def test_every_job_has_one_worker() -> None:
    plan = Plan(jobs=103)
    shared = [job.job_id for worker in range(plan.workers) for job in plan.jobs_of(worker)]
    assert sorted(shared) == sorted(job.job_id for job in plan.all_jobs)


def test_every_run_has_the_same_jobs_and_names_of_its_own() -> None:
    first, second = Plan(), Plan()
    assert first.all_jobs == second.all_jobs
    assert {first.name, first.table}.isdisjoint({second.name, second.table})


def test_a_job_only_goes_forward() -> None:
    for job in Plan().all_jobs:
        ranks = [RANKS[status] for _, status, _ in job.updates()]
        assert ranks == [0, 1, 2]


def test_the_bound_on_transactions_is_the_one_that_was_set() -> None:
    plan = Plan()
    assert plan.most_transactions(0) == 240 + 16
    assert plan.most_transactions(150) == 240 + 16 + 3


def test_the_updates_of_a_worker_fill_the_time_of_its_work() -> None:
    plan = Plan(jobs=160, work_seconds=6.0)
    assert plan.interval * 30 == 6.0
