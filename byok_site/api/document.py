"""The OpenAPI document of the management API, written from the same routes that answer."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from byok_site.api.door import SAFE, Operation, Route, not_allowed
from byok_site.api.problems import TITLES, Problem
from keys.providers import PROVIDERS
from usage.models import Period
from usage.views_limits import SCOPES

VERSION = "1"
REFERENCE = "#/components/schemas/{name}"
PARTS: Mapping[str, Mapping[str, Any]] = {
    "provider": {"enum": list(PROVIDERS)},
    "name": {"minLength": 1, "maxLength": 60},
    "scope": {"enum": list(SCOPES)},
    "target": {"minLength": 1, "maxLength": 36},
    "period": {"enum": list(Period.values)},
}
ETAG = {"ETag": {"description": "Send it as If-Match to change what you read.", "schema": {"type": "string"}}}
WORDS = {200: "Done", 201: "Made", 204: "Deleted"}
ABOUT = (
    "Manages one organization. A PUT says everything about a thing, and says it again without changing anything. "
    "What is there already is changed only with If-Match: the ETag that was read, or *."
)


def document(routes: tuple[Route, ...]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keyhold management API", "version": VERSION, "description": ABOUT},
        "servers": [{"url": f"{settings.PUBLIC_URL}/api/v1"}],
        "security": [{"managementKey": []}],
        "paths": {f"/{route.path}": path_item(route) for route in routes},
        "components": {
            "schemas": schemas(routes),
            "securitySchemes": {"managementKey": {"type": "http", "scheme": "bearer", "bearerFormat": "byok_admin_…"}},
        },
    }


def path_item(route: Route) -> dict[str, Any]:
    parts = re.findall(r"{(\w+)}", route.path)
    shared = [{"name": part, "in": "path", "required": True, "schema": {"type": "string", **PARTS[part]}} for part in parts]
    return {"parameters": shared} | {
        method.lower(): described(route.name, method, operation) for method, operation in route.operations.items()
    }


def described(name: str, method: str, operation: Operation) -> dict[str, Any]:
    operation_id = f"{name.removeprefix('api_')}_{method.lower()}"
    said: dict[str, Any] = {"operationId": operation_id, "summary": operation.summary}
    said["parameters"] = [*query_of(operation), *conditions(operation)]
    if operation.body:
        schema = {"$ref": REFERENCE.format(name=operation.body.__name__)}
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    refused = {str(status): refusal(status) for status in refusals(method, operation)}
    return said | {"responses": {str(status): success(operation, status) for status in operation.statuses} | refused}


def query_of(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query is None:
        return
    schema = msgspec.json.schema(operation.query)
    properties = schema["$defs"][operation.query.__name__]
    for name, shape in properties["properties"].items():
        yield {"name": name, "in": "query", "required": name in properties.get("required", ()), "schema": shape}


def conditions(operation: Operation) -> list[dict[str, Any]]:
    if not operation.conditional:
        return []
    return [{"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}}]


def success(operation: Operation, status: int) -> dict[str, Any]:
    said: dict[str, Any] = {"description": WORDS[status]}
    if operation.answers and status != 204:
        schema = {"$ref": REFERENCE.format(name=operation.answers.__name__)}
        said["content"] = {"application/json": {"schema": schema}}
        if operation.conditional:
            said["headers"] = ETAG
    return said


def refusals(method: str, operation: Operation) -> list[int]:
    found = [401, 403, 429]
    found += [] if method in SAFE else [409]
    found += [400, 413, 415, 422] if operation.body else [400, 422] if operation.query else []
    found += [412, 428] if operation.conditional else []
    found += [] if operation.query else [404, 422]
    return sorted(set(found))


def refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name="Problem")}
    return {"description": TITLES[status], "content": {"application/problem+json": {"schema": schema}}}


def schemas(routes: tuple[Route, ...]) -> dict[str, Any]:
    kinds = {each for route in routes for one in route.operations.values() for each in (one.answers, one.body) if each}
    _, found = msgspec.json.schema_components([*sorted(kinds, key=lambda kind: kind.__name__), Problem], ref_template=REFERENCE)
    return found


def page_of(routes: tuple[Route, ...]) -> Any:
    @cache
    def written() -> bytes:
        return msgspec.json.format(msgspec.json.encode(document(routes)), indent=2)

    @csrf_exempt
    @login_not_required
    def page(request: HttpRequest) -> HttpResponse:
        if request.method not in SAFE:
            return not_allowed(["GET"]).response
        return HttpResponse(written(), content_type="application/json")

    return page
