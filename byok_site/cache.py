"""The cache that all processes share in Valkey. While it is away each process goes on with its own."""

import time
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

PAUSE_SECONDS = 5.0  # in which Valkey is not asked again, so that one page does not wait for it many times


class Absence:
    """Until when Valkey counts as away, by the monotonic clock. All threads of a process know it."""

    until = 0.0


class SharedCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._own = LocMemCache("while Valkey is away", {})

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("add", *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("get", *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("set", *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("delete", *args, **kwargs)

    def incr(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """What was added to the other of the two caches begins at nothing in this one."""
        try:
            return self._either("incr", key, *args, **kwargs)
        except ValueError:
            self.add(key, 0)
            return self._either("incr", key, *args, **kwargs)

    def _either(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= Absence.until:
            try:
                return getattr(super(), method)(*args, **kwargs)
            except RedisError:
                Absence.until = time.monotonic() + PAUSE_SECONDS
        return getattr(self._own, method)(*args, **kwargs)
