"""Pages about organizations, and the first owner's. Sign-in itself is django-allauth's; see orgs/urls.py."""

from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from orgs import actions, sessions, setup
from orgs.access import org_view
from orgs.actions import Actor, AlreadySetUp, support
from orgs.forms.organizations import GeneralForm, MembersForm, OrganizationForm, SettingsForm, SetupForm, SupportForm
from orgs.models import Membership, Organization, User

CARDS: dict[str, type[SettingsForm]] = {"general": GeneralForm, "members": MembersForm, "support": SupportForm}


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The person's organization, or the list where there is a choice."""
    organizations = Organization.objects.for_user(request.user)[:2]
    return redirect("overview", organizations[0].slug) if len(organizations) == 1 else redirect("org_list")


@require_safe
def org_list(request: HttpRequest) -> HttpResponse:
    memberships = Membership.objects.of(request.user)
    return render(request, "orgs/list.html", {"memberships": memberships, "page": "orgs"})


def org_new(request: HttpRequest) -> HttpResponse:
    form = OrganizationForm(sent(request))
    if form.is_valid():
        if blocked := ratelimit.consume_or_429(request, action="new_organization", user=request.user):
            return blocked
        organization = actions.create_organization(name=form.cleaned_data["name"], owner=request.user, by=Actor.of(request))
        return redirect("overview", organization.slug)
    return render(request, "orgs/new.html", {"form": form, "page": "orgs"}, status=answer(form))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view("orgs.change_organization")
def org_settings(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Each card saves for itself: `do` says which."""
    do = request.POST.get("do", "")
    known = Organization.objects.get(pk=organization.pk)  # a form writes into what it is given, the page shows what is
    forms = {name: form(request.POST if name == do else None, instance=known) for name, form in CARDS.items()}
    if do in forms and forms[do].is_valid():
        actions.set_organization(organization=organization, by=Actor.of(request), **forms[do].said)
        messages.success(request, "Your settings are saved.")
        return redirect("settings", organization.slug)
    grant = support.open_grant(organization, timezone.now())
    context = {"page": "settings", "refused": forms.get(do), "grant": grant, **forms}
    return render(request, "orgs/settings.html", context, status=422 if request.method == "POST" else 200)


@login_not_required
@sensitive_post_parameters("password")
def first_owner(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind the one-time link. It works until there is a first owner."""
    if User.objects.exists():
        return render(request, "orgs/set_up_already.html", status=410)
    if not setup.is_valid(token):
        return render(request, "orgs/set_up_stale.html", status=404)
    form = SetupForm(sent(request))
    if form.is_valid():
        try:
            user, organization = actions.set_up_first_owner(**form.cleaned_data)
        except AlreadySetUp:
            return render(request, "orgs/set_up_already.html", status=410)
        sessions.sign_in(request, user)
        return redirect("overview", organization.slug)
    return render(request, "orgs/set_up.html", {"form": form}, status=answer(form))


def form_too_old(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF check refused the form: mostly a page from before the last sign-in."""
    return render(request, "403_csrf.html", status=403)


def sent(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: an empty POST is a form sent empty."""
    return request.POST if request.method == "POST" else None


def answer(form: OrganizationForm | SetupForm) -> int:
    """422 for a form that was sent and refused, so htmx shows it and nothing takes it for done."""
    return 422 if form.is_bound and not form.is_valid() else 200
