"""Nothing writes to the database unless an act is told of it: found in the text of the code, so that no write is overlooked.

A function that writes is an act, which test_audit_acts.py calls, or only acts come to it. What writes otherwise stands in
UNTOLD with the reason why nobody needs to hear of it, or where it is told.
"""

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from tests.test_audit_acts import FOUND, RECORDERS, ROOMS, UNASKED, modules

WRITES = {"save", "create", "create_user", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}
WRITES |= {"save_model", "delete_model", "delete_queryset"}  # of Django's admin
FOR_SHOW = "byok_site.demo"  # makes up a past
UNTOLD = {
    "keys.actions.reporting.report_health": "told if the key fails or works again; limits come and go",
    # How far Keyhold itself has come
    "byok_site.api.door.note_use": "when a management key was used last",
    "byok_site.worker.give_up": "its own tasks",
    "byok_site.worker.put_one": "its own tasks",
    "keys.actions.health.claim_tests": "which tests are under way",
    "keys.actions.openings.add": "sums that are told by the hour",
    "orgs.invitations.send": "whether a mail has left",
    "orgs.notices.claim": "whether a mail has left",
    "orgs.notices.deliver": "whether a mail has left",
    "orgs.webhooks.claim_these": "whether an alert has left",
    "orgs.webhooks.hand_on": "whether an alert has left",
    "orgs.webhooks.note": "whether an alert has left",
    "usage.alerts.claim": "which budgets were looked at",
    "usage.ingest.Ingester._put_away": "how far a journal is booked",
    "usage.ingest._advance": "how far a journal is booked",
    # Mail to owners about what is told where it happens
    "keys.actions.client_keys.notify": "mail",
    "keys.reminding.tell_expiring": "mail",
    "keys.reminding.tell_unused": "mail",
    "keys.telling.notify": "mail",
    "keys.telling.tell_failing": "mail",
    "keys.telling.tell_recovered": "mail",
    "usage.alerts.write": "mail",
    "usage.leaving.write": "mail",
    # What nobody asks for any more, after the time that is documented
    "keys.tasks.forget_old_marks": "what keys did in half hours",
    "orgs.webhooks.forget_old_deliveries": "what webhooks were sent",
    # The log goes with the organization: an owner's wish stands in it, and the end in the heads
    "byok_site.deleting.clear_slice": "the organization is going",
    "byok_site.deleting.close": "the organization is going",
    "byok_site.deleting.remove": "the organization is going",
    # The same secret under another key: opened by `manage.py vault`, which is counted and told by the hour
    "keys.second_factors.reseal_row": "changes no meaning",
    "keys.upkeep.reseal_identity_provider": "changes no meaning",
    "keys.upkeep.reseal_key": "changes no meaning",
    "keys.upkeep.reseal_retired": "changes no meaning",
    "keys.upkeep.reseal_webhook": "changes no meaning",
    "keys.upkeep.rewrap_row": "changes no meaning",
    "keys.data_keys.create": "the first one is made when something is first sealed, which is told",
    # Belongs to no organization
    "keys.admin.ModelOverrideAdmin.delete_model": "the operator's, in the history of the staff console",
    "keys.admin.ModelOverrideAdmin.delete_queryset": "the operator's, in the history of the staff console",
    "keys.admin.ModelOverrideAdmin.save_model": "the operator's, in the history of the staff console",
    "orgs.models.people.UserManager.create_superuser": "manage.py createsuperuser",
    # Called by name on a manager, where an act stands around them
    "orgs.models.organizations.OrganizationQuerySet.bump_routing": "a sign to the gateways",
    "orgs.models.people.UserManager.create_user": "whoever joins, which is told",
    "orgs.actions.invitations.join_with_new_account": "calls join, which is told",
    "orgs.sessions.end_all": "ends sessions within an act, or with another second factor, which is told",
}


def functions(tree: ast.AST, within: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """With their full names, methods too. What is defined inside of a function belongs to it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{within}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{within}.{node.name}")


def writes(node: ast.AST) -> bool:
    """Through the ORM, whose `update` has names where that of a dict has none."""
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)]
    return any(call.func.attr in WRITES or (call.func.attr == "update" and call.keywords) for call in calls)


def meant(node: ast.AST, module: ModuleType) -> str | None:
    """The full name of the function that stands there."""
    match node:
        case ast.Name(id=name):
            found = getattr(module, name, None)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            found = getattr(getattr(module, owner, None), name, None)
        case _:
            return None
    found = inspect.unwrap(found) if callable(found) else None
    return f"{found.__module__}.{found.__qualname__}" if inspect.isfunction(found) or inspect.ismethod(found) else None


@cache
def read() -> tuple[set[str], dict[str, set[str]]]:
    """The functions that write, and of each function those in which it is named."""
    writers, named_in = set(), defaultdict(set)
    for module in (each for room in ROOMS for each in modules(room) if not each.__name__.startswith(FOR_SHOW)):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        inside = dict(functions(tree, module.__name__))
        writers |= {name for name, node in inside.items() if writes(node)}
        for name, node in inside.items():
            for each in ast.walk(node):
                if (other := meant(each, module)) and other != name:
                    named_in[other].add(name)
    return writers, named_in


def told(name: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether it is an act, or there is no way to it but by one."""
    if name in FOUND or name in UNASKED or name in RECORDERS:
        return True
    callers = read()[1][name] - seen
    return bool(callers) and all(told(each, seen | {name}) for each in callers)


def test_whatever_writes_is_told_of_or_says_why_not() -> None:
    assert {name for name in read()[0] if not told(name)} == set(UNTOLD)
