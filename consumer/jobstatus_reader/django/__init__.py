"""A Django app with a read-only model of the managed table and its admin page.

    INSTALLED_APPS = [..., "jobstatus_reader.django"]

    from jobstatus_reader.django.models import Job
    Job.objects.filter(job_id__in=["job-1", "job-2"])

It needs SELECT on the table, and nothing else.
"""
