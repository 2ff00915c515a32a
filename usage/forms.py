"""The forms of an organization's limits and budgets."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from django import forms

from usage.figures import MICRO
from usage.models import Budget, Limit, Period, Scope, Unpriced

MOST_BUDGET = 100_000_000  # dollars
MOST_ASSUMED = 1_000  # dollars
MOST_A_MINUTE = 1_000_000_000
NEW = "new"
HARD = [("hard", "Refuse further requests"), ("soft", "Only tell owners")]
PASSED_OVER = [("hard", "Pass over this key"), ("soft", "Only tell owners")]
UNPRICED = [("", "Choose what it counts"), *Unpriced.choices]


class AmountField(forms.DecimalField):
    """Dollars go in, millionths of a dollar come out; None where nothing was said and nothing need be."""

    def __init__(self, label: str, *, least: str, most: int, example: str, **options: Any) -> None:
        least_said = Decimal(least)
        errors = {
            "required": f"Enter an amount in dollars, for example {example}.",
            "invalid": f"Enter dollars as a number, for example {example}.",
            "min_value": f"Enter at least {least_said.normalize():f} dollars.",
            "max_value": f"Enter at most {most:,} dollars.",
            "max_decimal_places": f"Enter at most {-int(least_said.as_tuple().exponent)} decimals.",
        }
        places = -int(least_said.as_tuple().exponent)
        super().__init__(
            label=label, min_value=least_said, max_value=most, decimal_places=places, error_messages=errors, **options
        )

    def clean(self, value: Any) -> int | None:
        amount = super().clean(value)
        return None if amount is None else int(amount * MICRO)


class RateField(forms.IntegerField):
    def __init__(self, label: str, help_text: str = "") -> None:
        errors = {
            "invalid": "Enter a whole number.",
            "min_value": "Enter at least 1, or nothing for no limit.",
            "max_value": f"Enter at most {MOST_A_MINUTE:,}.",
        }
        super().__init__(
            label=label, help_text=help_text, required=False, min_value=1, max_value=MOST_A_MINUTE, error_messages=errors
        )


class LimitForm(forms.Form):
    """Empty fields limit nothing."""

    requests_per_minute = RateField("Requests a minute")
    tokens_per_minute = RateField("Tokens a minute", "Input and output together.")
    concurrent = RateField("Requests at once", "Those that are not answered to the end yet.")

    def __init__(self, data: Mapping[str, Any] | None, limit: Limit | None) -> None:
        super().__init__(data, initial={name: getattr(limit, name) for name in self.base_fields} if limit else None)


class BudgetForm(forms.Form):
    """One budget, or a new one for any of the periods that are free. What a request without a price counts must be said."""

    period = forms.ChoiceField(
        choices=Period.choices,
        error_messages={
            "required": "Choose how long it lasts.",
            "invalid_choice": "There is a budget for this period already. Change that one.",
        },
    )
    amount = AmountField("Dollars", least="0.01", most=MOST_BUDGET, example="50")
    hard = forms.ChoiceField(
        label="When it is spent",
        choices=HARD,
        error_messages={"required": "Choose what happens.", "invalid_choice": "Choose what happens from the list."},
    )
    unpriced = forms.ChoiceField(
        label="A request without a known price",
        choices=UNPRICED,
        error_messages={
            "required": "Choose what a request counts for which no price is known.",
            "invalid_choice": "Choose from the list.",
        },
    )
    assumed = AmountField(
        "Assumed price",
        least="0.000001",
        most=MOST_ASSUMED,
        example="0.02",
        required=False,
        help_text="Dollars for each such request. Needed where it counts an assumed price.",
    )

    def __init__(
        self, data: Mapping[str, Any] | None, scope: str, budget: Budget | None = None, free: Collection[str] = ()
    ) -> None:
        self.budget = budget
        super().__init__(data, initial=_initial(budget), prefix=budget.period if budget else NEW)
        if budget:
            del self.fields["period"]
        else:
            self.fields["period"].choices = [each for each in Period.choices if each[0] in free]  # type: ignore[attr-defined]
        if scope == Scope.PROVIDER_KEY:
            self.fields["hard"].choices = PASSED_OVER  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("unpriced") != Unpriced.ASSUME:
            self.errors.pop("assumed", None)
            data["assumed"] = 0
        elif "assumed" not in self.errors and data.get("assumed") is None:
            self.add_error("assumed", "Enter what such a request is assumed to cost, for example 0.02.")
        return data

    @property
    def chosen(self) -> dict[str, Any]:
        """As set_budget takes it."""
        said = self.cleaned_data
        return {
            "period": self.budget.period if self.budget else said["period"],
            "amount_microusd": said["amount"],
            "hard": said["hard"] == "hard",
            "unpriced": said["unpriced"],
            "assumed_microusd": said["assumed"],
        }


def _initial(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {"period": Period.MONTH, "hard": "hard"}
    return {
        "amount": _typed(budget.amount_microusd),
        "hard": "hard" if budget.hard else "soft",
        "unpriced": budget.unpriced,
        "assumed": _typed(budget.assumed_microusd) if budget.assumed_microusd else None,
    }


def _typed(microusd: int) -> str:
    """As a person would type it: 50 or 0.025."""
    return f"{(Decimal(microusd) / MICRO).normalize():f}"
