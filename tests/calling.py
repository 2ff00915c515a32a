"""A program that calls the management API."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client


class Program:
    """Calls the API with a key, or without one."""

    def __init__(self, key: str = "") -> None:
        self.client, self._key = Client(enforce_csrf_checks=True), key

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        said = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        if self._key:
            said.setdefault("HTTP_AUTHORIZATION", f"Bearer {self._key}")
        content = body if isinstance(body, str) else json.dumps(body)
        if body is None:
            return self.client.generic(method, f"/api/v1/{path}", **said)
        return self.client.generic(method, f"/api/v1/{path}", content, content_type="application/json", **said)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def change(self, path: str, body: Any) -> HttpResponse:
        """With the ETag of what is there."""
        return self.call("PUT", path, body, if_match=self.call("GET", path)["ETag"])
