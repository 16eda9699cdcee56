"""The JSON API is what its description says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jobstatus_consumer.console.pages.openapi import DOCUMENT
from jobstatus_consumer.console.routes import ROUTES
from starlette.routing import Route
from support.console import Console
from support.console_scene import STORY

pytestmark = pytest.mark.usefixtures("scene")

PATHS: dict[str, Any] = DOCUMENT["paths"]
PLACES = {
    "/api/jobs/{job_id}": f"/api/jobs/{STORY}",
    "/api/jobs/{job_id}/history": f"/api/jobs/{STORY}/history",
    "/api/job": f"/api/job?id={STORY}",
}


def test_every_path_is_described() -> None:
    served = {route.path for route in ROUTES if isinstance(route, Route) and route.path.startswith("/api/")}
    assert served - {"/api/openapi.json"} == set(PATHS)


@pytest.mark.parametrize("path", [path for path, methods in PATHS.items() if "get" in methods])
def test_an_answer_has_what_is_described_and_nothing_else(console: Console, path: str) -> None:
    answer = console.get(PLACES.get(path, path))
    assert answer.code == 200
    schema = PATHS[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    if "properties" not in schema:
        return
    found = answer.json
    assert set(schema["required"]) <= set(found)
    if schema["required"] == sorted(schema["properties"]):
        assert set(found) == set(schema["properties"])
    for name, value in found.items():
        assert _fits(value, schema["properties"].get(name, {})), (name, value)


def test_a_plan_and_its_application_are_what_is_described(console: Console) -> None:
    headers = {"Content_Type": "application/json", "Origin": console.url}
    plan = console.ask("POST", "/api/actions/redrive/plan", '{"reason": "none_such"}', headers)
    fields = {**plan.json["request"], "digest": plan.json["digest"]}
    applied = console.ask("POST", "/api/actions/redrive/apply", json.dumps(fields), headers)
    for path, answer in (("plan", plan), ("apply", applied)):
        described = PATHS[f"/api/actions/{{name}}/{path}"]["post"]["responses"]["200"]
        schema = described["content"]["application/json"]["schema"]
        assert (answer.code, set(answer.json)) == (200, set(schema["properties"]))
        assert all(_fits(value, schema["properties"][name]) for name, value in answer.json.items())


def test_the_description_is_served(console: Console) -> None:
    assert console.get("/api/openapi.json").json["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", ["/api/none", "/api/jobs/a/b/c", "/api/"])
def test_what_is_not_there_is_an_error_in_json(console: Console, path: str) -> None:
    answer = console.get(path)
    assert answer.code == 404
    assert answer.json["error"]


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    kinds = {"string": str, "integer": int, "number": int | float, "boolean": bool, "object": dict, "array": list}
    allowed = schema.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    if not allowed:
        return True
    if value is None:
        return "null" in allowed
    if not any(isinstance(value, kinds[kind]) for kind in allowed if kind != "null"):
        return False
    return not isinstance(value, list) or all(_fits(item, schema.get("items", {})) for item in value)
