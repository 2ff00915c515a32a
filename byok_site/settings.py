"""Every setting. Each environment variable is read here, once, and stands in .env.example."""

import base64
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.csp import CSP

from byok_site import environment
from byok_site.environment import read

BASE_DIR = Path(__file__).resolve().parent.parent

environment.load(BASE_DIR / ".env")
DATA_DIR = read("DATA_DIR", Path, BASE_DIR / "var").absolute()
environment.require_folder("DATA_DIR", DATA_DIR)
environment.load_local_secrets(DATA_DIR)

# Secrets
SECRET_KEY = read("SECRET_KEY", environment.random_text)
SECRET_KEY_FALLBACKS = read("SECRET_KEY_FALLBACKS", environment.words, [])
VAULT_KEYS = read("VAULT_KEYS", str)
VAULT_SUITE = read("VAULT_SUITE", environment.whole_number(1, 2), 1)
AUDIT_KEY = read("AUDIT_KEY", environment.random_text)
AUDIT_KEY_FALLBACKS = read("AUDIT_KEY_FALLBACKS", environment.random_texts, [])
CRYPTOGRAPHY_KEY = base64.b64encode(os.urandom(32)).decode()  # never used: the vault passes its keys explicitly

# Where it runs
DEBUG = False
PORT = read("PORT", environment.whole_number(1, 65535), 8000)
PUBLIC_URL = read("PUBLIC_URL", environment.web_address, f"http://localhost:{PORT}")
ALLOWED_HOSTS = read("ALLOWED_HOSTS", environment.words, ["localhost", "127.0.0.1", "[::1]"])
TRUSTED_PROXIES = read("TRUSTED_PROXIES", environment.networks, [])
GATEWAY_WORKERS = read("GATEWAY_WORKERS", environment.whole_number(1, 64), 1)
REDIS_URL = read("REDIS_URL", environment.shared_cache, "")
if GATEWAY_WORKERS > 1 and not REDIS_URL:
    environment.refuse("GATEWAY_WORKERS", "is more than 1, so limits need a place to be counted together: set REDIS_URL.")
HTTPS = PUBLIC_URL.startswith("https://")

# What the gateway may reach, and for how long it waits
UPSTREAM_OVERRIDES = read("UPSTREAM_OVERRIDES", environment.upstream_overrides, {})
EGRESS_ALLOW = read("EGRESS_ALLOW", environment.egress_allow, [])
DNS_SERVERS = read("DNS_SERVERS", environment.name_servers, [])
TXT_RECORDS = "keys.domains.texts_at"  # read when the first domain is looked up: only then is its library loaded
FIRST_BYTE_SECONDS = read("FIRST_BYTE_SECONDS", environment.whole_number(1, 900), 60)
MAX_BODY_MB = read("MAX_BODY_MB", environment.whole_number(1, 1024), 25)

ROOT_URLCONF = "byok_site.urls"
ASGI_APPLICATION = "byok_site.asgi.application"

INSTALLED_APPS = [
    "byok_site.apps.StaffConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "django_htmx",
    "django_tasks_db",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "orgs",
    "keys",
    "usage",
    "byok_site",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "orgs.middleware.keep_private",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["django.templatetags.static", "orgs.templatetags.ui"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "orgs.context.shell",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# Data
DATABASES = {"default": read("DATABASE_URL", environment.database, environment.database(f"sqlite:///{DATA_DIR}/keyhold.sqlite3"))}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 2,
        # A host that vanished without a word is given up after 15 seconds, not after the 15 minutes of TCP
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 15_000,
        "options": "-c statement_timeout=5000",
        "pool": {"min_size": 1, "max_size": 16, "timeout": 5},
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if REDIS_URL:
    # JSON, as Django would pickle, and whoever writes to Valkey shall run nothing here. Version 1 was pickled
    options = {"serializer": json, "socket_timeout": 1, "socket_connect_timeout": 1}  # seconds
    valkey = {"LOCATION": REDIS_URL, "OPTIONS": options, "VERSION": 2}
    CACHES["default"] = {"BACKEND": "byok_site.cache.SharedCache", **valkey}
    CACHES["valkey"] = {"BACKEND": "django.core.cache.backends.redis.RedisCache", **valkey}

USAGE_EVENT_DAYS = read("USAGE_EVENT_DAYS", environment.whole_number(7, 3650), 90)

# Work that nobody waits for: kept in the database, done by the process beside the server
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
# What a tick does before the parts of keys/tasks.py, which may not know them
TICK_PARTS = [
    "usage.alerts.watch_budgets",
    "usage.leaving.watch_leaving",
    "usage.retention.keep_house",
    "byok_site.deleting.delete_due",
    "byok_site.rights.watch_rights",
    "orgs.audit.heads.write_heads",
]

# Time and language
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False

# People
AUTH_USER_MODEL = "orgs.User"
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "orgs.auth.RoleBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "name"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
CSRF_FAILURE_VIEW = "orgs.views.organizations.form_too_old"

# Sign-in, by django-allauth
ACCOUNT_ADAPTER = "orgs.adapter.PeopleAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"  # people come by a link of an owner or the operator; nobody signs up
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Keyhold: "
ACCOUNT_REAUTHENTICATION_TIMEOUT = 15 * 60
ACCOUNT_RATE_LIMITS = {"open_invitation": "60/m/ip", "new_organization": "20/d/user"}  # besides its own
ACCOUNT_SESSION_REMEMBER = True
MFA_ADAPTER = "keys.second_factors.SealedSecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Keyhold"
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS

# E-mail
MAILERS = {"default": read("EMAIL_URL", environment.mailer, environment.mailer("consolemail://"))}
DEFAULT_FROM_EMAIL = f"Keyhold <keyhold@{urlsplit(PUBLIC_URL).hostname}>"

# Static files
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

# What is written to standard error
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "byok_site.logs.MaskedLine", "format": "{asctime} {levelname} {name}: {message}", "style": "{"}
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "stdout": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "django.request": {"level": "ERROR"},  # an answer of 404 or 422 is no news, and addresses hold tokens
        "django.tasks": {"level": "WARNING"},  # nor is a task that was done
        "orgs.audit.heads": {"level": "INFO", "handlers": ["stdout"], "propagate": False},  # once a day, and no trouble
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

# The browser's side of security
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 60 * 60
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # promises for a whole domain, which are not ours to give
