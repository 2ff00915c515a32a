"""Forms that take a credential. Secrets go in and never come out: see SecretInput and KeyForm.clean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_variables

from keys import overrides
from keys.addresses import AllowList
from keys.credentials import OPTIONS, parse
from keys.entries import CredentialError, Problem
from keys.pages.excerpt import Line, around
from keys.pages.reading import Deployment, read_deployments
from keys.providers import Credential, Provider, Shape
from keys.providers.regions import REGIONS

MAX_FILE_BYTES = 32_000
EMPTY_EDITOR_LINES = 12
OVERRIDES_LINES = 8


class Unreturned:
    """A widget that never renders its value. htmx keeps the element itself, so what was typed stays in the browser."""

    keep: ClassVar[dict[str, Any]] = {
        "autocomplete": "off",
        "autocapitalize": "off",
        "spellcheck": "false",
        "data-1p-ignore": True,
        "hx-preserve": True,
        "required": True,
    }
    look: ClassVar[dict[str, Any]] = {"class": "input mono"}

    def __init__(self, **attrs: Any) -> None:
        chosen = {name: value for name, value in (self.keep | self.look | attrs).items() if value is not None}
        super().__init__(attrs=chosen)  # type: ignore[call-arg]  # of the Django widget beside it

    def format_value(self, value: object) -> None:
        return None


class SecretInput(Unreturned, forms.PasswordInput):
    """One line, dotted."""


class PlainInput(Unreturned, forms.TextInput):
    """One line in clear, for what is no secret but stands where people paste one."""


class SecretEditor(Unreturned, forms.Textarea):
    """Pasted JSON with numbered lines."""

    look = {"rows": EMPTY_EDITOR_LINES}


def entry(kind: str, label: str, help_text: str, widget: forms.Widget) -> forms.CharField:
    """A part of a credential. What it must hold is said by keys.credentials, so Django asks nothing of it."""
    template = f"keys/fields/{kind}.html"
    return forms.CharField(label=label, help_text=help_text, required=False, strip=False, widget=widget, template_name=template)


def text(label: str, help_text: str, kind: str = "text", **attrs: Any) -> forms.CharField:
    """No secret, so it may stay in the form."""
    widget = forms.TextInput(attrs={"class": "input mono", "spellcheck": "false", "required": True} | attrs)
    return entry(kind, label, help_text, widget)


def secret(label: str, help_text: str, **attrs: Any) -> forms.CharField:
    return entry("secret", label, help_text, SecretInput(**attrs))


def editor(label: str, help_text: str, **attrs: Any) -> forms.CharField:
    return entry("editor", label, help_text, SecretEditor(**attrs))


def option(name: str) -> forms.CharField:
    """A public ID that some providers take beside the key."""
    help_text = f"Starts {OPTIONS[name]}. Requests count against it; without it, against the key’s own."
    return entry("text", f"{name.capitalize()} ID", help_text, PlainInput(required=False))


def name_field(example: str) -> forms.CharField:
    return forms.CharField(
        label="Name",
        help_text="Shown to your team and in the audit log.",
        max_length=60,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
        error_messages={"required": f"Enter a name, for example {example}."},
        template_name="keys/fields/text.html",
    )


class KeyForm(forms.Form):
    """A name and a credential. `kept` says that the browser still holds what was typed.

    replaces: the public parts of the credential that this one replaces. Then there is no name to give.
    """

    name = name_field("Production")
    tab: ClassVar[str] = ""
    main: ClassVar[str]  # the field of the secret, and of a problem that names no other
    renewed: ClassVar[str] = ""  # what that field is called where there is a credential already
    example: ClassVar[str] = ""  # template of what "Insert example" puts into the editor

    def __init__(
        self, *args: Any, provider: Provider, kept: bool = False, replaces: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, initial=replaces, **kwargs)
        self.fields |= {name: option(name) for name in provider.options}
        if replaces is not None:
            del self.fields["name"]
            self.fields[self.main].label = self.renewed or self.fields[self.main].label
            for name in set(provider.options) & replaces.keys():  # what is stored, never what was sent
                self.fields[name].widget.attrs["value"] = replaces[name]
        self.provider, self.kept = provider, kept
        self.credential: Credential | None = None
        self.warnings: tuple[str, ...] = ()
        self.problems: list[Problem] = []
        for bound in self:  # always the same ids: htmx keeps the secret fields, and with them what they point to
            bound.field.widget.attrs["aria-describedby"] = f"{bound.auto_id}_helptext {bound.auto_id}_error"

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Ends with the parsed credential in `credential`; the texts it came from are dropped."""
        self.problems = [Problem(str(words), field) for field, errors in self.errors.items() for words in errors]
        try:
            self.credential, self.warnings = parse(self.provider, self.entered(), allow=AllowList.parse(settings.EGRESS_ALLOW))
        except CredentialError as refusal:
            for problem in refusal.problems:
                self.refuse(problem)
        return {"name": self.cleaned_data.get("name", "")}

    def entered(self) -> Mapping[str, str]:
        return {field: value for field, value in self.cleaned_data.items() if field != "name"}

    def refuse(self, problem: Problem) -> None:
        """Note the problem in the summary and at its field."""
        field = problem.field if problem.field in self.fields else self.main
        self.problems.append(replace(problem, field=field))
        self.add_error(field, problem.message)

    @property
    def findings(self) -> list[tuple[forms.BoundField, Problem]]:
        return [(self[problem.field], problem) for problem in self.problems]

    @property
    def marks(self) -> dict[int, str]:
        """Lines of the pasted JSON that hold a problem, each with a word or two for the margin."""
        return {problem.line: problem.label or "Look here" for problem in self.problems if problem.line}

    @property
    def margin(self) -> list[str]:
        """One entry for each line of the editor. Without scripts the editor is empty again, and so is its margin."""
        count = self.pasted().count("\n") + 1 if self.kept else EMPTY_EDITOR_LINES
        return [self.marks.get(line, "") if self.kept else "" for line in range(1, count + 1)]

    @property
    def excerpt(self) -> list[Line]:
        return [] if self.kept else around(self.pasted(), self.marks)

    @sensitive_variables()
    def pasted(self) -> str:
        return str(self.data.get(self.main, ""))


class ApiKeyForm(KeyForm):
    api_key = secret("API key", "You cannot read it back from here later.")
    main, renewed = "api_key", "New API key"


class AzureForm(KeyForm):
    deployments = editor("Deployments", "A JSON array. Each entry needs `model_slug`, `endpoint_url`, `api_key` and `model_id`.")
    wrap = forms.BooleanField(label="Put it inside [ and ] for me", required=False, template_name="keys/fields/check.html")
    main, example = "deployments", "keys/examples/azure.json"

    @property
    def offers_to_wrap(self) -> bool:
        return any(problem.fix == "wrap" for problem in self.problems)

    @property
    def reading(self) -> list[Deployment]:
        return read_deployments(self.wrapped(), self.marks) if self.is_bound else []

    @sensitive_variables()
    def wrapped(self) -> str:
        """One object becomes an array of one, where the person asked for that. Lines stay what they are."""
        pasted = self.pasted()
        return f"[{pasted}]" if self.data.get("wrap") and pasted.lstrip().startswith("{") else pasted

    def entered(self) -> Mapping[str, str]:
        return {"deployments": self.wrapped()}


class RegionForm(KeyForm):
    region = text("Region", "Where your models are enabled.", "region", placeholder="us-east-1", list="regions")
    regions: ClassVar[Sequence[str]] = REGIONS


class BedrockForm(RegionForm):
    access_key_id = entry(
        "text", "Access key ID", "20 characters, starting AKIA, or ASIA for temporary keys.", PlainInput(placeholder="AKIA…")
    )
    secret_access_key = secret(
        "Secret access key", "Shown once by AWS, next to the access key ID. You cannot read it back from here later."
    )
    session_token = secret("Session token", "Only for temporary keys, which start with ASIA.", required=False)
    tab, main = "Access key", "secret_access_key"


class BedrockApiKeyForm(RegionForm):
    api_key = secret("Bedrock API key", "Starts with ABSK or bedrock-api-key-. You cannot read it back from here later.")
    tab, main = "API key", "api_key"


class BedrockJsonForm(KeyForm):
    json = editor("Credential", "A JSON object with `accessKeyId`, `secretAccessKey` and `region`.")
    tab, main, example = "Paste JSON", "json", "keys/examples/bedrock.json"


class VertexForm(KeyForm):
    json = editor("Service account", "The JSON key file of the service account, pasted whole.", required=None)
    file = forms.FileField(
        label="Or choose the file",
        help_text="At most 32 kB. It is read and not kept as a file.",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".json,application/json", "hx-preserve": True}),
        template_name="keys/fields/text.html",
    )
    location = text("Location", "Where your models run, for example us-central1. Empty means global.", required=False)
    main = "json"

    def clean_file(self) -> UploadedFile | None:
        upload: UploadedFile | None = self.cleaned_data["file"]
        if upload and upload.size is not None and upload.size > MAX_FILE_BYTES:
            raise forms.ValidationError("This file is larger than 32 kB. Choose the JSON key file of the service account.")
        return upload

    @sensitive_variables()
    def entered(self) -> Mapping[str, str]:
        upload: UploadedFile | None = self.cleaned_data.get("file")
        pasted = upload.read().decode("utf-8", "replace") if upload else self.cleaned_data.get("json", "")
        return {"json": pasted, "location": self.cleaned_data.get("location", "")}


FORMS: Mapping[Shape, Mapping[str, type[KeyForm]]] = {
    Shape.API_KEY: {"fields": ApiKeyForm},
    Shape.AZURE: {"json": AzureForm},
    Shape.BEDROCK: {"fields": BedrockForm, "api-key": BedrockApiKeyForm, "json": BedrockJsonForm},
    Shape.VERTEX: {"json": VertexForm},
}


def mode_of(provider: Provider, asked: str) -> str:
    """How the credential is entered: the mode that was asked for, where the provider has it, else its first."""
    modes = FORMS[provider.shape]
    return asked if asked in modes else next(iter(modes))


class OverridesForm(forms.Form):
    """The organization's names for models of one provider, a line each. They are no secret and stay in the form."""

    overrides = forms.CharField(
        label="Your names",
        required=False,
        widget=forms.Textarea(attrs={"rows": OVERRIDES_LINES, "spellcheck": "false", "autocapitalize": "off"}),
        template_name="keys/fields/editor.html",
    )
    kept = True

    def __init__(self, *args: Any, provider: Provider, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.provider = provider
        self.problems: list[Problem] = []
        self.fields["overrides"].help_text = (
            f"`author/model = its name at {provider.label}`, one model on each line. They go before what a test found, "
            f"for all your {provider.label} keys."
        )

    def clean_overrides(self) -> dict[str, str]:
        found, self.problems = overrides.read(self.cleaned_data["overrides"], self.provider)
        if self.problems:
            raise forms.ValidationError([problem.message for problem in self.problems])
        return found

    @property
    def findings(self) -> list[tuple[forms.BoundField, Problem]]:
        return [(self["overrides"], problem) for problem in self.problems]

    @property
    def margin(self) -> list[str]:
        marks = {problem.line: problem.label for problem in self.problems}
        count = max(OVERRIDES_LINES, str(self["overrides"].value() or "").count("\n") + 1)
        return [marks.get(line, "") for line in range(1, count + 1)]


class RenameForm(forms.Form):
    name = name_field("Production")


class TypedNameForm(forms.Form):
    """Confirms a removal by the name of what goes."""

    confirm = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off", "spellcheck": "false"}),
        template_name="keys/fields/text.html",
    )

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["confirm"].label = format_html("Type <strong>{}</strong> to confirm", name)
        self.fields["confirm"].widget.attrs["data-typed"] = name

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed != self.name:
            raise forms.ValidationError(f"Type {self.name} exactly as shown.")
        return typed
