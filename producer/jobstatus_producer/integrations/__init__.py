"""Reports from job frameworks, one module each: `celery`, `rq`, `dramatiq`. A module imports its framework."""
