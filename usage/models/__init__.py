"""What was used, what it cost, and what may be used."""

from usage.models.events import (
    DailyRollup,
    HourlyRollup,
    JournalSegment,
    Measures,
    Outcome,
    UsageEvent,
    UsageRollup,
)
from usage.models.limits import Budget, Limit, Period, Scope, Unpriced
from usage.models.prices import Invoice, KeyPrice, ModelPrice, ModelPriceQuerySet

__all__ = [
    "Budget",
    "DailyRollup",
    "HourlyRollup",
    "Invoice",
    "JournalSegment",
    "KeyPrice",
    "Limit",
    "Measures",
    "ModelPrice",
    "ModelPriceQuerySet",
    "Outcome",
    "Period",
    "Scope",
    "Unpriced",
    "UsageEvent",
    "UsageRollup",
]
