"""One form for preferences of routing, wherever they are set. Which fields it has is said by who uses it.

What is set for the organization or for a provider has switches beside them.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from django import forms
from django.conf import settings

from keys import preferences
from keys.models import ProviderPreference, RoutingPreference
from keys.preferences import FIELDS, LONGEST_SECONDS, NONE, SHORTEST_SECONDS, Move, Preferences
from keys.providers import PROVIDERS
from keys.providers.names import HOSTS

MOVES = (
    (Move.LIMITED, "Rate limit (429)"),
    (Move.TROUBLE, "Server error or timeout"),
    (Move.REFUSED, "Refused credential (401, 403)"),
)
FALLBACKS = (("yes", "Allowed"), ("no", "Not allowed"))
MOST_SECONDS = min(LONGEST_SECONDS, settings.FIRST_BYTE_SECONDS)  # the operator's limit, which no wish lengthens
NAMES = {name.lower(): row.slug for row in PROVIDERS.values() for name in (row.slug, row.label)} | HOSTS
INHERITED, CHOSEN = "", "here"
NO_FENCE = "{others} may say otherwise; to keep all requests from a provider, pause it."


class ProvidersField(forms.CharField):
    """Providers with commas between them, in their order; nothing is None."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
        super().__init__(required=False, max_length=500, widget=forms.TextInput(attrs=attrs), **kwargs)

    def clean(self, value: Any) -> Any:
        names = [name for name in map(str.strip, re.split(r"[,\n]", super().clean(value))) if name]
        return tuple(dict.fromkeys(map(slug_of, names))) or None

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, tuple) else value


def slug_of(name: str) -> str:
    """By slug, by label, or as other gateways call the provider."""
    if found := NAMES.get(name.lower()):
        return found
    near = get_close_matches(name.lower(), NAMES, 1)
    hint = f"Did you mean {NAMES[near[0]]}?" if near else f"Providers are {', '.join(PROVIDERS)}."
    raise forms.ValidationError(f"“{name[:40]}” is not a provider. {hint}")


class FallbacksField(forms.TypedChoiceField):
    """True, False, or None where nothing is said."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"choices": (("", "Not set"), *FALLBACKS), "required": False, "empty_value": None}
        super().__init__(coerce=lambda value: value == "yes", **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return {True: "yes", False: "no"}.get(value, value)


class MovesField(forms.TypedMultipleChoiceField):
    """A set of moves; an empty one lets no failure move on."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"choices": MOVES, "required": False, "widget": forms.CheckboxSelectMultiple, "empty_value": frozenset()}
        super().__init__(coerce=Move, **kwargs)

    def clean(self, value: Any) -> frozenset[Move]:
        return frozenset(super().clean(value))

    def prepare_value(self, value: Any) -> Any:
        return [each.value for each in Move if each in value] if isinstance(value, frozenset) else value


def initial_of(kept: Preferences, fields: Collection[str]) -> dict[str, Any]:
    """Moves that nobody chose are drawn as all of them, which is the default."""
    initial = {name: getattr(kept, name) for name in fields} | {"decides_moves": INHERITED if kept.move_on is None else CHOSEN}
    return initial | ({"move_on": frozenset(Move)} if kept.move_on is None else {})


class PreferencesForm(forms.Form):
    """Every field may be left empty: then nothing is said, and the next one decides.

    kept: what is set now. fields: names of keys/preferences.py. otherwise: who decides what is not set here, completing
    “Not set here: …”; empty for an organization, after which come the defaults. editable: False shows what is set.
    `chosen` holds what a valid form says of its fields, `preferences` the same as a whole.
    """

    order = ProvidersField(
        label="Try these providers first", help_text="First to last, with commas between them. The others follow."
    )
    only = ProvidersField(label="Only these providers", help_text=f"Empty allows all. {NO_FENCE}")
    ignore = ProvidersField(label="Never these providers", help_text=f"The others serve. {NO_FENCE}")
    allow_fallbacks = FallbacksField(
        label="Other providers as fallback",
        help_text="Not allowed: requests stay with the providers to try first, or else with the first key’s provider.",
    )
    timeout_seconds = forms.IntegerField(
        label="Timeout in seconds",
        help_text=f"How long to wait for the first byte of an answer, {SHORTEST_SECONDS} to {MOST_SECONDS}.",
        min_value=SHORTEST_SECONDS,
        max_value=MOST_SECONDS,
        required=False,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"),
            f"Enter a whole number of seconds from {SHORTEST_SECONDS} to {MOST_SECONDS}, or nothing.",
        ),
    )
    decides_moves = forms.ChoiceField(required=False, widget=forms.RadioSelect)
    move_on = MovesField(label="Try the next key after")

    def __init__(
        self,
        *args: Any,
        kept: Preferences = NONE,
        fields: Collection[str] = FIELDS,
        otherwise: str = "",
        editable: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs["initial"] = initial_of(kept, fields) | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        self.names, self.otherwise = [name for name in FIELDS if name in fields], otherwise
        for name in set(FIELDS) - set(fields):
            del self.fields[name]
        for name in {"only", "ignore"} & set(fields):
            others = "A request" if otherwise else "A client key or a request"
            self.fields[name].help_text = self.fields[name].help_text.format(others=others)
        if otherwise and "move_on" in fields:
            deciding = [(INHERITED, f"Not set here: {otherwise}"), (CHOSEN, "After these only")]
            self.fields["decides_moves"].choices = deciding  # type: ignore[attr-defined]
        else:
            del self.fields["decides_moves"]
        for field in self.fields.values():
            field.disabled = not editable

    def clean_move_on(self) -> frozenset[Move] | None:
        """Without anybody to decide otherwise, all of them is the default and need not be said."""
        chosen: frozenset[Move] = self.cleaned_data["move_on"]
        if "decides_moves" in self.fields:
            return chosen if self.cleaned_data.get("decides_moves") == CHOSEN else None
        return None if chosen == frozenset(Move) else chosen

    @property
    def lines(self) -> list[forms.BoundField]:
        """The fields of one control each. The template draws the moves itself."""
        return [self[name] for name in self.names if name != "move_on"]

    @property
    def chosen(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.names}

    @property
    def preferences(self) -> Preferences:
        return Preferences(**self.chosen)


class FallbackForm(PreferencesForm):
    """What happens when a key fails. `shared`: there are keys to share, or the organization lets them be used already.

    What goes first means something only where shared keys are used.
    """

    last = forms.ChoiceField(
        label="When all your keys fail",
        choices=(("error", "Return the error"), ("shared", "Use shared keys")),
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what happens when all your keys fail."},
    )
    first = forms.ChoiceField(
        label="What goes first",
        choices=(("keys", "Your keys"), ("order", "The order of providers")),
        widget=forms.RadioSelect,
        error_messages={"required": "Choose whether your keys or the order of providers goes first."},
    )

    def __init__(self, *args: Any, routing: RoutingPreference, shared: bool, **kwargs: Any) -> None:
        initial = {"last": "error" if routing.own_keys_only else "shared", "first": "order" if routing.order_first else "keys"}
        super().__init__(*args, kept=preferences.read(routing.preferences), fields=["move_on"], initial=initial, **kwargs)
        if not shared:
            del self.fields["last"], self.fields["first"]

    @property
    def changes(self) -> dict[str, Any]:
        if "last" not in self.fields:
            return self.chosen
        shared = self.cleaned_data["last"] == "shared"
        return self.chosen | {"own_keys_only": not shared, "order_first": shared and self.cleaned_data["first"] == "order"}


class ProviderForm(PreferencesForm):
    """What is decided of one provider."""

    use_own_keys = forms.BooleanField(label="Use our keys", required=False)

    def __init__(self, *args: Any, routing: ProviderPreference, **kwargs: Any) -> None:
        kept, initial = preferences.read(routing.preferences), {"use_own_keys": routing.use_own_keys}
        super().__init__(*args, kept=kept, fields=["timeout_seconds", "move_on"], initial=initial, **kwargs)

    @property
    def changes(self) -> dict[str, Any]:
        return self.chosen | {"use_own_keys": self.cleaned_data["use_own_keys"]}
