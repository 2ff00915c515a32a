"""All that a superuser gets to see of the staff console who has opened every organization, found in the console itself."""

import io
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from orgs.actions import Actor, support
from orgs.models import Organization, User
from tests.staff import give_second_factor
from usage.models import UsageEvent

SAID = {"name": "", "reason": "", "text": "Main", "sealed": "x", "password": "x", "_to_field": "id"}
LAST = "leave"  # after it there is no visit

type Told = Iterator[tuple[str, bytes]]


def addresses(patterns: list[Any], parts: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """Their names, and the names of their parts. What has no name leads on, or nowhere."""
    for entry in patterns:
        whole = parts | entry.pattern.regex.groupindex.keys()
        if isinstance(entry, URLResolver):
            yield from addresses(entry.url_patterns, whole)
        elif isinstance(entry, URLPattern) and entry.name:
            yield entry.name, whole


ADDRESSES = dict(addresses(admin.site.get_urls()))


def make_root() -> User:
    """With a visit everywhere."""
    root = User.objects.create_superuser("root@example.com", "correct horse battery staple")
    give_second_factor(root)
    for organization in Organization.objects.all():
        support.begin_visit(organization=organization, reason="Ticket 4711", by=Actor(label="Root", user=root))
    return root


def walk(staff: Client, root: User, rows_each: int) -> Told:
    """Pages, lists by all that they can be asked, histories, acts, mistakes and the bundle, each with where it was."""
    for model, console in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        rows = list(model._default_manager.order_by("pk")[:rows_each])
        yield from lists(staff, reverse(f"{name}_changelist"))
        yield from acts(staff, reverse(f"{name}_changelist"), console, [row for row in rows if row != root])
    for name in sorted(ADDRESSES, key=lambda name: (name == LAST, name.endswith("_delete"))):
        for parts in values_of(name, rows_each):
            yield from both(staff, name, reverse(f"admin:{name}", kwargs=parts))
    yield from both(staff, "nowhere", "/staff/nowhere/")


def both(staff: Client, name: str, address: str) -> Told:
    for answer in (staff.get(address), staff.post(address, SAID)):
        yield name, told(answer)


def lists(staff: Client, address: str) -> Told:
    """Every link of a list that asks it in another way, and questions that it does not offer."""
    page = staff.get(address)
    yield address, told(page)
    links = {unescape(link) for link in re.findall(r'href="(\?[^"]+)"', page.content.decode())}
    for link in [*sorted(links), "?q=Main", "?q=a&o=1.-2", "?sealed__startswith=x", "?p=9", "?_popup=1", "?e=1"]:
        yield f"{address}{link}", told(staff.get(f"{address}{link}"))


def acts(staff: Client, address: str, console: Any, rows: list[Model]) -> Told:
    for act in console.actions or ():
        chosen = {"action": act.__name__, "_selected_action": [str(row.pk) for row in rows]}
        for sent in (chosen, chosen | {"confirmed": "yes"}):
            yield act.__name__, told(staff.post(address, sent))
            yield act.__name__, told(staff.get(address))  # which tells what was done


def values_of(name: str, rows_each: int) -> Iterator[dict[str, Any]]:
    """What stands in the places of the address: each of the rows that it is about."""
    parts = ADDRESSES[name]
    if "request_id" in parts:
        yield from UsageEvent.objects.values("request_id", pk=F("organization_id"))[:1]
    elif "pk" in parts:
        yield from ({"pk": organization.pk} for organization in Organization.objects.all())
    elif "content_type_id" in parts:
        user = User.objects.first()
        yield {"content_type_id": ContentType.objects.get_for_model(User).pk, "object_id": user.pk if user else 1}
    elif "object_id" in parts:
        yield from ({"object_id": row.pk} for row in model_of(name)._default_manager.order_by("pk")[:rows_each])
    elif "app_label" in parts:
        yield from ({"app_label": label} for label in ("orgs", "keys"))
    else:
        yield {}


def model_of(name: str) -> type[Model]:
    [model] = [each for each in admin.site._registry if name.startswith(f"{each._meta.app_label}_{each._meta.model_name}_")]
    return model


def told(answer: HttpResponse) -> bytes:
    """The whole answer; of a bundle what is in it."""
    assert answer.status_code < 500
    head = f"{answer.headers} {answer.cookies}".encode()
    if answer.headers.get("Content-Type") != "application/zip":
        return head + answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return head + b"".join(archive.read(name) for name in archive.namelist())
