"""
All settings, in the order of Django's documentation.

`.env.example` describes each variable. The defaults suit development: DEBUG is on, only
this machine can connect, and the portal does not start with a public address (E008).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from csp import constants as csp

from promoportal.runtime import environment

BASE_DIR = Path(__file__).resolve().parent.parent
environment.read_file(BASE_DIR / ".env")

# --- Core -------------------------------------------------------------------------

DEBUG = environment.flag("DEBUG", default=True)
_LOCAL_HOSTS = "127.0.0.1,localhost,[::1]" if DEBUG else ""
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS", _LOCAL_HOSTS)
SECRET_KEY = environment.text(
    "SECRET_KEY", "only-for-a-desk-and-refused-without-DEBUG" if DEBUG else ""
)
PORTAL_HOME = environment.folder("PORTAL_HOME", BASE_DIR / ".portal")
PORTAL_URL = environment.address("PORTAL_URL", "http://127.0.0.1:8000" if DEBUG else "")
TRUSTED_PROXIES = environment.number("TRUSTED_PROXIES", 0)

INSTALLED_APPS = [
    "promoportal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_htmx",
    "django_q",
    "promoportal.apps.PromoportalConfig",
    "executions.apps.ExecutionsConfig",
    "rewards.apps.RewardsConfig",
    "redemptions.apps.RedemptionsConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "promoportal.middleware.readable",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "promoportal.urls"
WSGI_APPLICATION = "promoportal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database ---------------------------------------------------------------------

# Without DATABASE_URL, the portal starts its own PostgreSQL below PORTAL_HOME.
EMBEDDED_DATABASE = environment.flag("EMBEDDED_DATABASE", default=DEBUG)
_DATABASE = environment.database("DATABASE_URL") or {
    "ENGINE": "promoportal.db.embedded",
    "NAME": "portal",
}
# A host that disappears does not close its connections: its locks, the scheduler's
# included, would stay for hours. Both ends close a dead connection after 30 seconds.
_LIVENESS = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
_SESSION = {
    **{f"tcp_{name}": value for name, value in _LIVENESS.items()},
    "idle_in_transaction_session_timeout": 300_000,  # ms
}
DATABASES = {
    "default": {
        **_DATABASE,
        "OPTIONS": {
            **_LIVENESS,
            "options": " ".join(
                f"-c {name}={value}" for name, value in _SESSION.items()
            ),
            **_DATABASE.get("OPTIONS", {}),
        },
        # A new connection for each call of the queue would make django-q2 twelve times
        # slower. The health check replaces connections that a restart closed.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Security ---------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_AGE = 12 * 60 * 60
SECURE_SSL_REDIRECT = not DEBUG
# Health probes use plain HTTP inside the network, and get no secrets. A redirect would
# lose a webhook, so webhooks are accepted even if a proxy does not report TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^webhooks/optimove/"]
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
# Pages load only files that the portal serves, and no inline scripts or styles.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.NONE],
        **{
            f"{kind}-src": [csp.SELF]
            for kind in ("script", "style", "img", "font", "connect", "manifest")
        },
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
        "base-uri": [csp.NONE],
    }
}
LOGIN_URL = "admin:login"

# --- Language, time, files --------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
# WhiteNoise serves files from the apps' folders, so `collectstatic` is not needed.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

# --- Optimove ---------------------------------------------------------------------

_SANDBOX = "http://127.0.0.1:8100" if DEBUG else ""
OPTIMOVE_API_URL = environment.address(
    "OPTIMOVE_API_URL", _SANDBOX and f"{_SANDBOX}/optimove"
)
OPTIMOVE_PROMOTIONS_URL = environment.address(
    "OPTIMOVE_PROMOTIONS_URL", _SANDBOX and f"{_SANDBOX}/promotions"
)
OPTIMOVE_API_KEY = environment.text("OPTIMOVE_API_KEY", "desk-key" if DEBUG else "")
OPTIMOVE_CONTRACT = environment.text("OPTIMOVE_CONTRACT")

# --- The platform -----------------------------------------------------------------

PLATFORM_URL = environment.address("PLATFORM_URL", _SANDBOX and f"{_SANDBOX}/platform")
PLATFORM_TOKEN = environment.text("PLATFORM_TOKEN", "desk-token" if DEBUG else "")
PLATFORM_ADAPTER = environment.text(
    "PLATFORM_ADAPTER", "promoportal.platforms.HttpPlatform"
)
PLATFORM_CAPABILITY = environment.text("PLATFORM_CAPABILITY", "idempotent,askable")
PLATFORM_CONCURRENCY = environment.number("PLATFORM_CONCURRENCY", 32, least=1, most=512)

# --- The flow ---------------------------------------------------------------------

REDEMPTION_MODE = environment.choice(
    "REDEMPTION_MODE", "auto", ["auto", "triggered", "scheduled", "off"]
)
REDEMPTION_INTERVAL = timedelta(
    seconds=environment.number("REDEMPTION_INTERVAL_SECONDS", 300, least=1)
)
# Optimove may add assignments to a list that it reported as complete. After this time,
# another run checks the list; 0: never.
LIST_AGAIN_AFTER = timedelta(seconds=environment.number("LIST_AGAIN_AFTER_SECONDS", 60))
ACTIVATE_WITHIN = timedelta(
    hours=environment.number("ACTIVATE_WITHIN_HOURS", 72, least=1)
)
SETTLE_WITHIN = timedelta(hours=environment.number("SETTLE_WITHIN_HOURS", 24, least=1))
# Hours without a webhook after which an open listener needs attention; 0: never.
LISTENER_SILENT_AFTER_HOURS = environment.number("LISTENER_SILENT_AFTER_HOURS", 36)
# By unit: above this value, two users must confirm whether a reward was activated.
DECIDE_ALONE_UP_TO = environment.names("DECIDE_ALONE_UP_TO")
# Limits: above LIMIT_CUSTOMERS or LIMIT_VALUE, an execution needs review; above
# LIMIT_REWARD, a reward does. Empty: no limit.
LIMIT_CUSTOMERS = environment.names("LIMIT_CUSTOMERS")
LIMIT_VALUE = environment.names("LIMIT_VALUE")
LIMIT_REWARD = environment.names("LIMIT_REWARD")

# --- Jobs -------------------------------------------------------------------------

WEB_CONCURRENCY = environment.number("WEB_CONCURRENCY", 2, least=1, most=64)
JOB_TIMEOUT_SECONDS = environment.number("JOB_TIMEOUT_SECONDS", 60, least=1)
JOB_RETRY_SECONDS = environment.number("JOB_RETRY_SECONDS", 240, least=1)

_BULK_WORKERS = max(2, min(8, os.cpu_count() or 2))
Q_CLUSTER = {
    "name": "portal",  # the default queue and the signing salt: never change while jobs wait
    "orm": "default",  # the rows' own database: a job and its rows commit together
    "broker_class": "promoportal.jobs.broker.PortalBroker",
    "workers": 2,
    "queue_limit": 2,  # a crash blocks few jobs, and hosts share fairly
    "bulk": 1,
    "poll": 1,  # only a fallback: NOTIFY starts a job within milliseconds
    "timeout": JOB_TIMEOUT_SECONDS,  # a last resort: time budgets end jobs long before
    "retry": JOB_RETRY_SECONDS,  # counted from the claim, not from the start
    "max_attempts": 1,  # a row that is still due gets another job
    "ack_failures": True,
    "save_limit": -1,  # successes leave no row: seven times the throughput
    "catch_up": False,
    "recycle": 500,
    "max_rss": 400_000,  # KB
    "guard_cycle": 0.5,  # other values may break the kill after a timeout
    "log_level": "WARNING",
    "ALT_CLUSTERS": {
        "collect": {"workers": 2, "queue_limit": 2},
        "bulk": {"workers": _BULK_WORKERS, "queue_limit": _BULK_WORKERS},
    },
}

# --- Logging ----------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "promoportal.runtime.log_redaction.Redact"}},
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        }
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["redact"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Listed to remove Django's own handlers, which would log listeners' secrets.
        "django": {"level": "INFO"},
        "django.server": {"level": "INFO", "propagate": True},
        **{
            name: {"level": "INFO"}
            for name in ("promoportal", "executions", "rewards", "redemptions")
        },
        # Warnings of urllib3 contain URLs with their queries, and raw headers.
        "urllib3": {"level": "ERROR"},
    },
}
