"""One validator for each shape of credential, shared by the page, the command and the API. Pure."""

import re
from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keys.addresses import AddressRefused, AllowList, check_azure_host, check_url
from keys.entries import CredentialError, Entry, Part, Problem, clean, from_fields, from_object, read_json
from keys.json_source import Source
from keys.providers import PROVIDERS, Credential, Provider, Shape, azure
from keys.providers.regions import LOOKS_LIKE_ONE, REGIONS, nearest

__all__ = ["CredentialError", "Problem", "from_stdin", "hint", "parse"]

Parsed = tuple[Credential, tuple[str, ...]]

MAX_DEPLOYMENTS = 50
MAX_TOKEN = 4096
MAX_PEM = 4096  # A 4096-bit key takes 3.3 kB.
DEFAULT_LOCATION = "global"

BEDROCK_KEYS = ("ABSK", "bedrock-api-key-")
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._:-]*", re.IGNORECASE)
BARE_OPENAI = re.compile(r"(?:gpt|chatgpt|o[0-9]|text-embedding|whisper|tts|dall-e)[a-z0-9.-]{0,40}", re.IGNORECASE)
LOCATION = re.compile(r"global|us|eu|[a-z]{2,}-[a-z]+[0-9]{1,2}")
PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
EMAIL = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+\.[a-z]+")
KEY_ID = re.compile(r"[A-Za-z0-9]{8,64}")
OTHER_GOOGLE_FILES = ("external_account", "authorized_user", "impersonated_service_account", "external_account_authorized_user")


def parts(**words: tuple[str, str]) -> dict[str, Part]:
    return {name: Part(name, *about) for name, about in words.items()}


API_KEY = parts(
    api_key=("api_key", "the API key"),
    organization=("organization", "the organization ID"),
    project=("project", "the project ID"),
)
OPTIONS = {"organization": "org-", "project": "proj_"}  # how the IDs start
AZURE = parts(
    model_slug=("deployments", "the model slug"),
    endpoint_url=("deployments", "the endpoint"),
    api_key=("deployments", "the API key"),
    model_id=("deployments", "the deployment name"),
)
BEDROCK = parts(
    accessKeyId=("access_key_id", "the access key ID"),
    secretAccessKey=("secret_access_key", "the secret access key"),
    sessionToken=("session_token", "the session token"),
    region=("region", "the region, for example us-east-1"),
    apiKey=("api_key", "the Bedrock API key"),
)
VERTEX_NAMES = "type project_id private_key_id private_key client_email client_id auth_uri token_uri universe_domain"
VERTEX_CERTIFICATES = "auth_provider_x509_cert_url client_x509_cert_url"
VERTEX = {name: Part(name, "json", name) for name in f"{VERTEX_NAMES} {VERTEX_CERTIFICATES}".split()}


def parse(provider: Provider, fields: Mapping[str, str], *, allow: AllowList) -> Parsed:
    """The credential and the warnings about it. Raises CredentialError with every problem found.

    fields: {"api_key"}, for OpenAI with "organization" and "project" · Azure {"deployments": JSON} · Bedrock
    {"access_key_id", "secret_access_key", "session_token", "region"} or {"api_key", "region"} or {"json"} ·
    Vertex {"json", "location"}.
    """
    match provider.shape:
        case Shape.API_KEY:
            return api_key(provider, fields)
        case Shape.AZURE:
            return deployments(provider, fields.get("deployments", ""), allow)
        case Shape.BEDROCK:
            return bedrock(provider, fields)
        case Shape.VERTEX:
            return service_account(fields)


def from_stdin(provider: Provider, text: str, *, allow: AllowList) -> Parsed:
    """As `parse`, from one text: the bare key, or the JSON of the provider's shape."""
    form_field = {Shape.API_KEY: "api_key", Shape.AZURE: "deployments"}.get(provider.shape, "json")
    return parse(provider, {form_field: text}, allow=allow)


def hint(key: str, prefixes: tuple[str, ...]) -> str:
    """What may be shown of a key: its public prefix and its last four characters; nothing of a short one."""
    if len(key) < 20:
        return "…"
    prefix = max((prefix for prefix in prefixes if key.startswith(prefix)), key=len, default="")
    return f"{prefix}…{key[-4:]}"


def finish(*entries: Entry) -> tuple[str, ...]:
    """The warnings of entries, once they have no problem."""
    if problems := [problem for entry in entries for problem in entry.problems]:
        raise CredentialError(problems)
    return tuple(warning for entry in entries for warning in entry.warnings)


# One API key


def api_key(provider: Provider, fields: Mapping[str, str]) -> Parsed:
    """The key, and what the provider's row lets its owner say beside it."""
    entry = from_fields({name: part for name, part in API_KEY.items() if name in ("api_key", *provider.options)}, fields)
    if "api_key" not in entry.values:
        entry.report("api_key", f"paste the API key. {provider.where}", "Empty")
    if entry.require_secret("api_key"):
        warn_of_other_provider(entry, "api_key", provider)
    for name in provider.options:
        check_option(entry, name)
    warnings = finish(entry)
    key = entry.values["api_key"]
    public = {name: entry.values[name] for name in provider.options if name in entry.values}
    return Credential({"api_key": key}, public, hint(key, provider.prefixes)), warnings


def check_option(entry: Entry, name: str) -> None:
    """An ID, and nothing else: it is kept in the open, where a key that was pasted in the wrong place must not end."""
    start = OPTIONS[name]
    if name in entry.values and not re.fullmatch(rf"{start}[A-Za-z0-9_-]{{1,100}}", entry.values[name]):
        entry.report(name, f"this is not {entry.parts[name].words}. It starts {start}; leave it empty if you have none.", "ID")


def warn_of_other_provider(entry: Entry, name: str, provider: Provider) -> None:
    key = entry.values[name]
    starts = [(len(prefix), row) for row in PROVIDERS.values() for prefix in row.prefixes if key.startswith(prefix)]
    owner = max(starts, key=lambda start: start[0])[1] if starts else provider
    if owner is not provider:
        entry.warn(f"this looks like {article(owner)} key. Paste {article(provider)} key, or switch provider.")


def article(provider: Provider) -> str:
    return f"an {provider.label}" if provider.label[0] in "AEIO" else f"a {provider.label}"


# Azure


def deployments(provider: Provider, text: str, allow: AllowList) -> Parsed:
    source = read_json(
        text, AZURE, "deployments", "Paste the JSON list of your deployments, or insert the example and fill it in."
    )
    check_list(source)
    entries = [
        from_object(source, AZURE, "deployments", (index,), f"deployment {index + 1}")
        if isinstance(item, dict)
        else not_an_object(source, index)
        for index, item in enumerate(source.value)
    ]
    for entry in entries:
        check_deployment(entry, provider, allow)
    report_twins(entries)
    warnings = finish(*entries)
    public = [{name: entry.values[name] for name in ("model_slug", "endpoint_url", "model_id")} for entry in entries]
    count = f"{len(entries)} deployment{'s' if len(entries) > 1 else ''}"
    return Credential({"api_keys": [entry.values["api_key"] for entry in entries]}, {"deployments": public}, count), warnings


def check_list(source: Source) -> None:
    value, problem = source.value, ""
    if isinstance(value, dict):
        one = Problem("This is one deployment. Azure needs a list: put it inside [ and ].", "deployments", 1, "Needs [ ]", "wrap")
        raise CredentialError([one])
    if not isinstance(value, list):
        problem = "Azure needs a list of deployments, which starts with [ and ends with ]."
    elif not value:
        problem = "The list is empty. Put at least one deployment between [ and ]."
    elif len(value) > MAX_DEPLOYMENTS:
        problem = f"These are {len(value)} deployments. One key holds at most {MAX_DEPLOYMENTS}; put the others in a second key."
    if problem:
        raise CredentialError([Problem(problem, "deployments", source.line(), "List")])


def not_an_object(source: Source, index: int) -> Entry:
    entry = Entry(AZURE, {}, source, "deployments", (index,), f"deployment {index + 1}")
    for name in AZURE:
        entry.reported.add(name)
    entry.report("", "write each deployment between { and }.", "Needs { }")
    return entry


def check_deployment(entry: Entry, provider: Provider, allow: AllowList) -> None:
    values = entry.values
    if entry.require("model_slug") and not SLUG.fullmatch(values["model_slug"]):
        example = f"openai/{values['model_slug']}" if BARE_OPENAI.fullmatch(values["model_slug"]) else "openai/gpt-4o"
        entry.report("model_slug", f"write `model_slug` as author/model, for example `{example}`.", "author/model")
    if entry.require("endpoint_url"):
        check_endpoint(entry, allow)
    if entry.require_secret("api_key"):
        warn_of_other_provider(entry, "api_key", provider)
    if entry.require("model_id") and not azure.NAME.fullmatch(values["model_id"]):
        entry.report("model_id", "`model_id` is the deployment's name in Azure: letters, digits, and . _ - between them.", "Name")


def check_endpoint(entry: Entry, allow: AllowList) -> None:
    """Leaves the address in its canonical spelling."""
    try:
        target = check_url(entry.values["endpoint_url"], allow)
        check_azure_host(target.host, allow)
        named = azure.read(target.url).deployment
    except AddressRefused as error:
        entry.report("endpoint_url", f"{refusal(error)} Azure shows it as “Target URI”.", error.label)
    except ValueError as error:
        entry.report("endpoint_url", f"`endpoint_url` {error}.", "Path")
    else:
        entry.values["endpoint_url"] = target.url
        if named and named != entry.values.get("model_id"):
            entry.warn(f"the address names the deployment “{named}”, so that one is used and not the `model_id`.")


def refusal(error: AddressRefused) -> str:
    if error.label == "Needs https://":
        return "start `endpoint_url` with `https://`."
    return f"`endpoint_url` {error.reason}."


def report_twins(entries: list[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        slug = entry.values.get("model_slug", "")
        if not SLUG.fullmatch(slug):
            continue
        twin = first.setdefault(slug.lower(), entry)
        if twin is not entry and entry.source:
            lines = [entry.source.line(*one.path, "model_slug") for one in (twin, entry)]
            where = f"on lines {lines[0]} and {lines[1]}" if lines[0] != lines[1] else f"in {twin.title} and {entry.title}"
            entry.problems.append(Problem(f"`{slug}` appears twice, {where}. Keep one.", "deployments", lines[1], "Twice"))


# AWS Bedrock


def bedrock(provider: Provider, fields: Mapping[str, str]) -> Parsed:
    entry = bedrock_json(fields["json"]) if "json" in fields else from_fields(BEDROCK, fields)
    adopt_api_key(entry)
    only_api_key = "api_key" in fields and not entry.values.keys() - {"region"}
    if "apiKey" in entry.values or only_api_key:
        check_bedrock_key(entry)
    else:
        check_access_key(entry)
    check_region(entry)
    warnings = finish(entry)
    values = entry.values
    public = {"region": values["region"]}
    if "apiKey" in values:
        return Credential({"api_key": values["apiKey"]}, public, hint(values["apiKey"], BEDROCK_KEYS)), warnings
    secret = {"secret_access_key": values["secretAccessKey"]}
    if values.get("sessionToken"):
        secret["session_token"] = values["sessionToken"]
    key_id = values["accessKeyId"]
    return Credential(secret, {**public, "access_key_id": key_id}, hint(key_id, provider.prefixes)), warnings


def bedrock_json(text: str) -> Entry:
    source = read_json(text, BEDROCK, "json", "Paste the JSON object with accessKeyId, secretAccessKey and region.")
    if not isinstance(source.value, dict):
        raise CredentialError([Problem("Bedrock takes one object, which starts with { and ends with }.", "json", 1, "Needs { }")])
    return from_object(source, BEDROCK, "json")


def adopt_api_key(entry: Entry) -> None:
    """A Bedrock API key in the place of an access key, with nothing beside it, is meant as what it is."""
    present = [name for name in ("apiKey", "accessKeyId", "secretAccessKey", "sessionToken") if entry.values.get(name)]
    if len(present) == 1 and entry.values[present[0]].startswith(BEDROCK_KEYS):
        entry.values = {"apiKey": entry.values[present[0]]} | {
            name: entry.values[name] for name in ("region",) if name in entry.values
        }


def check_bedrock_key(entry: Entry) -> None:
    for name in ("accessKeyId", "secretAccessKey", "sessionToken"):
        if entry.values.get(name):
            entry.report(name, "a Bedrock API key stands alone. Leave out either it or the access key.", "One of them")
    if not entry.require_secret("apiKey", MAX_TOKEN):
        return
    key = entry.values["apiKey"]
    if key.startswith(("AKIA", "ASIA")):
        entry.report("apiKey", "this is an access key ID. It goes with a secret access key, not here.", "Access key")
    elif key.startswith("BedrockAPIKey-"):
        entry.report("apiKey", "this is the name of a Bedrock API key. Paste its value, which starts ABSK.", "Name of a key")
    elif not key.startswith(BEDROCK_KEYS):
        entry.warn("this does not look like a Bedrock API key. They start ABSK or bedrock-api-key-.")


def check_access_key(entry: Entry) -> None:
    values = entry.values
    has_id, has_secret = entry.require_secret("accessKeyId"), entry.require_secret("secretAccessKey")
    if has_id and values["accessKeyId"].startswith(BEDROCK_KEYS):
        entry.report(
            "accessKeyId", "ABSK… is a Bedrock API key, and stands alone. Leave out the secret access key.", "Bedrock API key"
        )
    elif has_secret and values["secretAccessKey"].startswith(("AKIA", "ASIA")):
        entry.report("secretAccessKey", "this is an access key ID. The two may have changed places.", "Changed places")
    elif has_id and not re.fullmatch(r"[A-Z0-9]{16,128}", values["accessKeyId"]):
        entry.report("accessKeyId", "an access key ID has 20 capital letters and digits, and starts AKIA.", "Key ID")
    elif has_id:
        check_session(entry)
    if has_secret and not re.fullmatch(r"[A-Za-z0-9/+]{40}", values["secretAccessKey"]):
        entry.warn("AWS's secret access keys have 40 characters. Check that you copied all of it.")


def check_session(entry: Entry) -> None:
    key_id, token = entry.values["accessKeyId"], entry.values.get("sessionToken")
    if token and entry.require_secret("sessionToken", MAX_TOKEN) and key_id.startswith("AKIA"):
        entry.warn("keys that start AKIA have no session token; AWS may refuse this one.")
    if not token and key_id.startswith("ASIA"):
        entry.report(
            "sessionToken", "ASIA… is a temporary key. Add its session token, or use a key that starts AKIA.", "Needs a token"
        )
    if not key_id.startswith(("AKIA", "ASIA")):
        entry.warn("access key IDs start AKIA, or ASIA when they are temporary.")


def check_region(entry: Entry) -> None:
    if not entry.require("region"):
        return
    region = entry.values["region"].lower()
    if region in REGIONS:
        entry.values["region"] = region
    elif LOOKS_LIKE_ONE.fullmatch(region):
        entry.report("region", f"“{region}” is not an AWS region. Did you mean {nearest(region)}?", "Region")
    else:
        entry.report("region", "this is not an AWS region. They look like us-east-1.", "Region")


# Google Vertex AI


def service_account(fields: Mapping[str, str]) -> Parsed:
    source = read_json(fields.get("json", ""), VERTEX, "json", "Paste the service account's JSON file, or choose it.")
    if not isinstance(source.value, dict):
        raise CredentialError([Problem("Paste the whole file: it starts with { and ends with }.", "json", 1, "Needs { }")])
    entry = from_object(source, VERTEX, "json")
    if check_type(entry):
        check_account(entry)
    location = clean(fields.get("location", "")).lower() or DEFAULT_LOCATION
    if not LOCATION.fullmatch(location):
        problem = "This is not a Google Cloud location. They look like us-central1, or say global."
        entry.problems.append(Problem(problem, "location", label="Location"))
    warnings = finish(entry)
    values = entry.values
    secret = {"private_key": values["private_key"], "private_key_id": values["private_key_id"]}
    public = {"project_id": values["project_id"], "client_email": values["client_email"], "location": location}
    return Credential(secret, public, values["client_email"].removesuffix(".iam.gserviceaccount.com")[:80]), warnings


def check_type(entry: Entry) -> bool:
    """Whether this is a service account; nothing else of another kind of file is worth a message."""
    if not entry.require("type"):
        return False
    kind = entry.values["type"]
    if kind != "service_account":
        entry.problems.clear()
        named = f"an `{kind}`" if kind in OTHER_GOOGLE_FILES else "another kind of"
        entry.report("type", f"this is {named} file. Paste the JSON key of a service account.", "Not a service account")
    return kind == "service_account"


def check_account(entry: Entry) -> None:
    for name, pattern in (("project_id", PROJECT), ("client_email", EMAIL), ("private_key_id", KEY_ID)):
        if entry.require(name) and not pattern.fullmatch(entry.values[name]):
            entry.report(name, f"`{name}` is not as Google writes it. Paste the file again, unchanged.", "Changed")
    if entry.require("private_key"):
        pem = entry.values["private_key"].replace("\\n", "\n") + "\n"
        entry.values["private_key"] = pem
        if len(pem) > MAX_PEM or not is_rsa(pem):
            entry.report("private_key", "`private_key` cannot be read. Paste the file again, unchanged.", "Private key")


def is_rsa(pem: str) -> bool:
    try:
        return isinstance(load_pem_private_key(pem.encode(), password=None), RSAPrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
