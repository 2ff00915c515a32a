"""What the owners of the demo allow: limits and budgets of the organization, of a member, of client keys and a provider key."""

from keys.models import ClientKey, ProviderKey
from orgs.actions import Actor
from usage.actions import set_budget, set_limit
from usage.models import Period, Scope

DOLLAR = 1_000_000  # millionths


def restrain(production: ProviderKey, clients: dict[str, ClientKey], member: Actor, by: Actor) -> None:
    """Amounts suit what usage of the demo costs: about ten dollars a month."""
    assert member.user
    organization = production.organization
    app, jobs, notebook = (str(clients[name].pk) for name in ("web-app", "jobs", "notebook-priya"))
    limits = (
        (Scope.ORGANIZATION, "", {"requests_per_minute": 600, "tokens_per_minute": 2_000_000}),
        (Scope.CLIENT_KEY, jobs, {"requests_per_minute": 60, "concurrent": 4}),
        (Scope.PROVIDER_KEY, str(production.pk), {"tokens_per_minute": 400_000}),
    )
    for scope, target, most in limits:
        set_limit(organization=organization, scope=scope, target_id=target, by=by, **most)
    budgets = (
        (Scope.ORGANIZATION, "", Period.MONTH, 40, True),
        (Scope.MEMBER, str(member.user.pk), Period.MONTH, 2, False),
        (Scope.CLIENT_KEY, app, Period.DAY, 2, True),
        (Scope.CLIENT_KEY, notebook, Period.MONTH, 1, True),
        (Scope.PROVIDER_KEY, str(production.pk), Period.MONTH, 15, True),
    )
    for scope, target, period, dollars, hard in budgets:
        amount = dollars * DOLLAR
        set_budget(
            organization=organization, scope=scope, target_id=target, period=period, amount_microusd=amount, hard=hard, by=by
        )
