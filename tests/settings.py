"""The product's settings, read from a fixed environment: nothing of the developer's own reaches a test."""

import base64
import os
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="keyhold-test-")
_local = {"DATABASE_URL", "REDIS_URL"}  # named by the caller or started by tests.embedded_services
_fixed = {
    "SECRET_KEY": "tests-only-" + "x" * 50,
    "VAULT_KEYS": "k1:" + base64.b64encode(b"tests only, 32 bytes of no worth").decode(),
    "AUDIT_KEY": "tests-only-" + "y" * 50,
    "DATA_DIR": _folder.name,
}
_unset = {
    "SECRET_KEY_FALLBACKS", "VAULT_SUITE", "PORT", "PUBLIC_URL", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "GATEWAY_WORKERS",
    "UPSTREAM_OVERRIDES", "EGRESS_ALLOW", "DNS_SERVERS", "FIRST_BYTE_SECONDS", "MAX_BODY_MB", "USAGE_EVENT_DAYS", "EMAIL_URL",
}  # fmt: skip
os.environ |= _fixed | dict.fromkeys(_unset, "") | {name: os.environ.get(name, "") for name in _local}

from byok_site.settings import *  # noqa: E402, F403
from byok_site.settings import DATA_DIR, DATABASES, STATIC_ROOT  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT.mkdir()
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}  # a file, as threads and processes share it
