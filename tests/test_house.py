"""The rules of the house, run: which room may know which, what may be imported where, what must be written down."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from keys.forms.credentials import FORMS
from keys.providers import PROVIDERS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("orgs", "keys", "usage", "gateway", "byok_site")  # each may import what stands to its left
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)
PURE = (
    "keys/routing.py",
    "keys/health.py",
    "keys/preferences.py",
    "keys/restrictions.py",
    "keys/networks.py",
    "keys/order.py",
    "keys/dotenv.py",
    "keys/schedule.py",
    "keys/pages/strip.py",
    "keys/pages/history.py",
    "keys/catalog.py",
    "keys/overrides.py",
    "keys/providers/",
    "gateway/wires/",
)
OUTSIDE = {"aiohttp", "httpx", "requests", "urllib.request", "urllib3", "http.client", "smtplib", "websockets"}
OPENING = ("open_connection", "create_connection", "open_unix_connection")
VAGUE = {"utils", "helpers", "common", "service", "services", "manager", "managers", "misc", "signals"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


TREES = {name_of(path): ast.parse(path.read_text()) for path in MODULES}


def imports(node: ast.AST) -> Iterator[str]:
    """Full dotted names: `from a.b import c` gives a.b.c."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            yield from (f"{found.module}.{alias.name}" for alias in found.names)


def imported(name: str, modules: Iterable[str]) -> bool:
    """Whether the dotted name is one of the modules or lies in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def uses(node: ast.AST, attribute: str) -> bool:
    return any(isinstance(found, ast.Attribute) and found.attr == attribute for found in ast.walk(node))


def offenders(rule: Callable[[str, ast.Module], Iterable[str]]) -> dict[str, list[str]]:
    """What the rule finds, by module; modules without a finding are left out."""
    found = {name: list(rule(name, tree)) for name, tree in TREES.items()}
    return {name: findings for name, findings in found.items() if findings}


def test_a_room_imports_only_what_stands_to_its_left() -> None:
    def rule(name: str, tree: ast.Module) -> Iterable[str]:
        forbidden = {*ROOMS[ROOMS.index(name.partition("/")[0]) + 1 :], "tests", "bench"}
        return forbidden & {imported.partition(".")[0] for imported in imports(tree)}

    assert not offenders(rule)


def test_imports_stand_at_the_top() -> None:
    def rule(name: str, tree: ast.Module) -> Iterable[str]:
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [imported for function in functions for imported in imports(function)]

    assert not offenders(rule)


def test_no_module_has_a_name_for_anything() -> None:
    assert not [name for name in TREES if VAGUE & set(name.removesuffix(".py").split("/"))]


def test_nothing_happens_by_signal() -> None:
    assert not offenders(
        lambda name, tree: [used for used in imports(tree) if "signals" in used.split(".") or imported(used, ["django.dispatch"])]
    )


def test_only_egress_reaches_the_outside() -> None:
    answering = {"byok_site/demo_provider.py": "aiohttp.web"}
    found = offenders(
        lambda name, tree: [used for used in imports(tree) if imported(used, OUTSIDE) and used != answering.get(name)]
    )
    assert set(found) == {"keys/egress.py"}
    assert not offenders(lambda name, tree: [each for each in OPENING if uses(tree, each)])


def test_whoever_else_has_a_socket_is_known() -> None:
    found = offenders(lambda name, tree: [used for used in imports(tree) if imported(used, ["socket", "redis", "dns"])])
    listens, host_name = "byok_site/management/commands/serve.py", "byok_site/worker.py"
    valkey = {"gateway/shared_counters.py", "usage/overviews.py", "byok_site/cache.py"}
    assert set(found) <= {"keys/egress.py", "keys/domains.py", listens, host_name, *valkey}


def test_nothing_is_pickled() -> None:
    assert not offenders(lambda name, tree: [used for used in imports(tree) if imported(used, ["pickle", "marshal", "shelve"])])


def test_nothing_that_records_requests_is_installed() -> None:
    recorders = ("django-debug-toolbar", "django-silk", "sentry-sdk", "ddtrace", "newrelic", "opentelemetry")
    lock = (ROOT / "requirements.txt").read_text()
    assert not re.findall(rf"^(?:{'|'.join(recorders)})\b.*", lock, flags=re.M)


def test_secrets_are_revealed_in_one_place_only() -> None:
    assert {name for name, tree in TREES.items() if uses(tree, "reveal")} == {"keys/data_keys.py"}


def test_pure_modules_know_no_database_no_socket_and_no_clock() -> None:
    impure = {"django", "asyncio", "socket", "time", "os", "pathlib", *OUTSIDE}

    def rule(name: str, tree: ast.Module) -> Iterable[str]:
        if not name.startswith(PURE):
            return []
        return [used for used in imports(tree) if imported(used, impure) or ".models." in used] + ["now"] * uses(tree, "now")

    assert not offenders(rule)


def test_the_gateway_meets_the_database_in_its_directory_snapshots_and_books_only() -> None:
    found = offenders(
        lambda name, tree: [used for used in imports(tree) if used.startswith("django.db")] + ["objects"] * uses(tree, "objects")
    )
    books = {"gateway/books.py", "gateway/directory.py", "gateway/recent.py", "gateway/snapshot.py"}
    assert {name for name in found if name.startswith("gateway/")} == books


def test_the_environment_is_read_in_the_settings_only() -> None:
    readers = {name for name, tree in TREES.items() if uses(tree, "environ") or uses(tree, "getenv")}
    demo = "byok_site/management/commands/demo.py"  # starts a process with settings of its own
    assert readers == {"byok_site/environment.py", "byok_site/asgi.py", demo}


def test_every_setting_stands_in_the_example_with_a_reason() -> None:
    read = re.findall(r'\bread\("([A-Z_]+)"', (ROOT / "byok_site/settings.py").read_text())
    example = (ROOT / ".env.example").read_text()
    assert sorted(re.findall(r"^([A-Z_]+)=", example, flags=re.M)) == sorted(read)
    assert len(re.findall(r"^#.+\n[A-Z_]+=$", example, flags=re.M)) == len(read)


@pytest.mark.parametrize("slug", PROVIDERS)
def test_every_provider_has_a_form_and_a_line_in_the_documentation(slug: str) -> None:
    row = PROVIDERS[slug]
    assert FORMS[row.shape]
    assert re.search(rf"^\| {re.escape(row.label)} \| `{slug}` \| ", (ROOT / "docs/providers.md").read_text(), flags=re.M)


def test_our_own_javascript_stays_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "static").rglob("*.js")) <= 225


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_links_in_the_documentation_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
