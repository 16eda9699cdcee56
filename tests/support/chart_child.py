"""Renders the Helm chart and validates objects, in a process of its own: Helm's library is a Go runtime with threads.

It reads a list of requests as JSON from its input, and writes a list of answers. It imports nothing of the tests.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any


def main() -> None:
    """Answer every request."""
    warnings.simplefilter("ignore")
    requests = json.load(sys.stdin)
    chart = sys.argv[1]
    json.dump([_ANSWERS[request["what"]](chart, request) for request in requests], sys.stdout)


def _render(chart: str, request: dict[str, Any]) -> dict[str, Any]:
    """The text of each template of our chart or of an archive, or Helm's error. As with `helm install`, the schema is
    checked first.
    """
    import helm_python

    options = {"name": "jobstatus", "namespace": "apps", **request["options"]}
    with helm_python.Chart.load(request["chart"] or chart) as loaded:
        try:
            loaded.validate_schema(request["values"])
            return {"texts": loaded.render(request["values"], **options)}
        except helm_python.HelmError as error:
            return {"error": str(error)}


def _package(chart: str, request: dict[str, Any]) -> dict[str, Any]:
    """The path of the archive that `helm package` makes."""
    import helm_python

    return {"path": helm_python.package(chart, destination=request["folder"])}


def _lint(chart: str, request: dict[str, Any]) -> dict[str, Any]:
    import helm_python

    return {"found": helm_python.lint(chart, request["values"], strict=True)}


def _validate(_chart: str, request: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with an object: by the schema that is given, else by Kubernetes' own of a version."""
    import jsonschema
    import kubernetes_validate

    try:
        if request["schema"] is not None:
            jsonschema.validate(request["object"], request["schema"])
        else:
            kubernetes_validate.validate(request["object"], request["version"], strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return {"error": str(error)}
    return {"error": ""}


_ANSWERS = {"render": _render, "package": _package, "lint": _lint, "validate": _validate}

if __name__ == "__main__":
    main()
