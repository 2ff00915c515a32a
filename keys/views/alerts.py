"""What owners were told, and the webhooks that hear it too. A new webhook's secret is in one answer and nowhere else."""

import json
from datetime import UTC, datetime
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from keys import webhooks as sending
from keys.actions.webhooks import (
    TooManyWebhooks,
    add_webhook,
    remove_webhook,
    replay_delivery,
    set_webhook_enabled,
    test_webhook,
)
from keys.forms.webhooks import WebhookForm
from keys.pace import too_many_tests, wait_for_test
from orgs.access import forbidden, org_view
from orgs.actions import Actor
from orgs.models import Delivery, Notice, Organization, Webhook

MOST_NOTICES = 20
MOST_DELIVERIES = 50


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.view_webhook")
def page(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The answer to a good POST is the page with the secret."""
    if request.method == "POST" and not request.user.has_perm("orgs.change_webhook", organization):
        return forbidden(request, organization)
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            return added(request, organization, form.cleaned_data["url"])
        except TooManyWebhooks as refusal:
            form.add_error("url", str(refusal))
    context = {
        "page": "alerts",
        "form": form,
        "webhooks": with_log(Webhook.objects.for_org(organization)),
        "notices": Notice.objects.filter(organization=organization).order_by("-created_at")[:MOST_NOTICES],
    }
    return render(request, "keys/alerts/page.html", context, status=422 if form.is_bound else 200)


def with_log(webhooks: QuerySet[Webhook]) -> QuerySet[Webhook]:
    """Each with when something arrived last, and how much waits to be tried again."""
    waiting = Count("deliveries", filter=Q(deliveries__due_at__isnull=False, deliveries__tries__gt=0))
    return webhooks.annotate(last_taken_at=Max("deliveries__taken_at"), waiting=waiting)


@sensitive_variables()
def added(request: HttpRequest, organization: Organization, url: str) -> HttpResponse:
    webhook, secret = add_webhook(organization=organization, url=url, by=Actor.of(request))
    return render(request, "keys/alerts/added.html", {"page": "alerts", "webhook": webhook, "secret": secret})


@require_safe
@never_cache
@org_view("orgs.view_webhook")
def webhook(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    """With its log, newest first. `before` leads to older ones."""
    found = find(organization, pk)
    deliveries = Delivery.objects.filter(webhook=found).order_by("-created_at", "-pk")
    if cursor := read(request.GET.get("before", "")):
        at, last = cursor
        deliveries = deliveries.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=last))
    rows = list(deliveries[: MOST_DELIVERIES + 1])
    shown, more = rows[:MOST_DELIVERIES], len(rows) > MOST_DELIVERIES
    context = {"page": "alerts", "webhook": found, "deliveries": shown, "older": written(shown[-1]) if more else ""}
    return render(request, "keys/alerts/webhook.html", context)


def written(delivery: Delivery) -> str:
    """The last one of a page: many have the same time."""
    return f"{delivery.created_at.isoformat()}~{delivery.pk}"


def read(text: str) -> tuple[datetime, UUID] | None:
    at, _, pk = text.partition("~")
    try:
        return datetime.fromisoformat(at).astimezone(UTC), UUID(pk)
    except (ValueError, OverflowError):
        return None


@require_POST
@never_cache
@org_view("orgs.change_webhook")
def test(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    webhook = find(organization, pk)
    if seconds := wait_for_test(organization):
        messages.error(request, too_many_tests(seconds))
    else:
        try_once(request, test_webhook(webhook=webhook, by=Actor.of(request)))
    return redirect("webhook", organization.slug, pk)


test.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for one of its own


@require_POST
@never_cache
@org_view("orgs.change_webhook")
def replay(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    old = get_object_or_404(Delivery.objects.for_org(organization), pk=pk)
    if seconds := wait_for_test(organization):
        messages.error(request, too_many_tests(seconds))
        return redirect("delivery", organization.slug, pk)
    new = replay_delivery(delivery=old, by=Actor.of(request))
    try_once(request, new)
    return redirect("delivery", organization.slug, new.pk)


def try_once(request: HttpRequest, delivery: Delivery) -> None:
    sending.deliver([delivery])
    if delivery.taken_at:
        messages.success(request, f"{delivery.webhook.host} took it and answered {delivery.status}.")
    else:
        messages.error(request, f"{delivery.webhook.host} did not take it. {delivery.problem}")


@require_safe
@never_cache
@org_view("orgs.view_webhook")
def delivery(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    found = get_object_or_404(Delivery.objects.for_org(organization), pk=pk)
    body = json.dumps(found.payload, indent=2, ensure_ascii=False)
    return render(request, "keys/alerts/delivery.html", {"page": "alerts", "delivery": found, "body": body})


@require_POST
@never_cache
@org_view("orgs.change_webhook")
def turn_off(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    return switch(request, organization, pk, on=False)


@require_POST
@never_cache
@org_view("orgs.change_webhook")
def turn_on(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    return switch(request, organization, pk, on=True)


def switch(request: HttpRequest, organization: Organization, pk: UUID, *, on: bool) -> HttpResponse:
    webhook = find(organization, pk)
    set_webhook_enabled(webhook=webhook, enabled=on, by=Actor.of(request))
    messages.success(
        request, f"{webhook.host} gets alerts from now on." if on else f"Nothing is sent to {webhook.host} any more."
    )
    return redirect("webhook", organization.slug, pk)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.change_webhook")
def remove(request: HttpRequest, organization: Organization, pk: UUID) -> HttpResponse:
    webhook = find(organization, pk)
    if request.method == "POST":
        remove_webhook(webhook=webhook, by=Actor.of(request))
        messages.success(request, f"The webhook at {webhook.host} is deleted.")
        return redirect("alerts", organization.slug)
    return render(request, "keys/alerts/remove.html", {"page": "alerts", "webhook": webhook})


def find(organization: Organization, pk: UUID) -> Webhook:
    return get_object_or_404(Webhook.objects.for_org(organization).select_related("organization"), pk=pk)
