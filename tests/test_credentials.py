"""Credentials as people enter them: what is taken, what is refused and in which words, and that no secret comes back."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from keys.addresses import AllowList
from keys.credentials import CredentialError, Problem, from_stdin, hint, parse
from keys.providers import PROVIDERS, Credential, Shape

NOBODY = AllowList()
OPENAI_KEY = "sk-proj-" + "a1B2" * 20 + "f9Lm"
AZURE_KEY = "0123456789abcdef" * 2
ACCESS_KEY = {"access_key_id": "AKIAZ7EXAMPLE234J4QX", "secret_access_key": "s3cr" * 10, "region": "us-east-1"}

# The two examples of the product's brief, as they stand there.
BRIEF_AZURE = """[
  {
    "model_slug": "openai/gpt-4o",
    "endpoint_url": "ENDPOINT-URL",
    "api_key": "API-KEY",
    "model_id": "gpt-4o"
  },
  {
    "model_slug": "openai/o3-mini",
    "endpoint_url": "ENDPOINT-URL",
    "api_key": "API-KEY",
    "model_id": "o3-mini"
  }
]"""
BRIEF_BEDROCK = """{
  "accessKeyId": "your-aws-access-key-id",
  "secretAccessKey": "your-aws-secret-access-key",
  "region": "your-aws-region"
}"""
FILLED_IN = (
    BRIEF_AZURE.replace("ENDPOINT-URL", "https://meridian.openai.azure.com", 1)
    .replace("ENDPOINT-URL", "https://meridian-swc.cognitiveservices.azure.com/openai/v1")
    .replace("API-KEY", AZURE_KEY)
)


def take(provider: str, allow: AllowList = NOBODY, **fields: str) -> Credential:
    return parse(PROVIDERS[provider], fields, allow=allow)[0]


def warnings(provider: str, **fields: str) -> tuple[str, ...]:
    return parse(PROVIDERS[provider], fields, allow=NOBODY)[1]


def problems(provider: str, **fields: str) -> tuple[Problem, ...]:
    with pytest.raises(CredentialError) as refusal:
        parse(PROVIDERS[provider], fields, allow=NOBODY)
    return refusal.value.problems


def messages(provider: str, **fields: str) -> list[str]:
    return [problem.message for problem in problems(provider, **fields)]


# One API key

API_KEY_PROVIDERS = [slug for slug, row in PROVIDERS.items() if row.shape is Shape.API_KEY]


@pytest.mark.parametrize("provider", API_KEY_PROVIDERS)
def test_a_key_with_spaces_line_breaks_and_quotes_around_it_is_taken(provider: str) -> None:
    key = "".join(PROVIDERS[provider].prefixes[:1]) + "k" * 40
    for pasted in (key, f"  {key}\n", f'"{key}"', f"'{key}' ", f"“{key}”\r\n", f"\ufeff`{key}`"):
        assert take(provider, api_key=pasted).secret == {"api_key": key}


def test_fals_two_part_key_is_one_key() -> None:
    key = "0a1b2c3d-0000-4000-8000-0123456789ab:0123456789abcdef0123456789abcdef"
    assert take("fal", api_key=key).secret["api_key"] == key


@pytest.mark.parametrize("provider", API_KEY_PROVIDERS)
def test_an_empty_key_says_what_to_do(provider: str) -> None:
    for empty in ({}, {"api_key": ""}, {"api_key": ' "" '}):
        (problem,) = problems(provider, **empty)
        assert problem.message == f"Paste the API key. {PROVIDERS[provider].where}"
        assert problem.field == "api_key"


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (f"OPENAI_API_KEY={OPENAI_KEY}", "name of a setting"),
        (f"export OPENAI_API_KEY='{OPENAI_KEY}'", "name of a setting"),
        (f"api_key: {OPENAI_KEY}", "name of a setting"),
        (f"Bearer {OPENAI_KEY}", "such as “Bearer”"),
        (f"Authorization: Bearer {OPENAI_KEY}", "such as “Bearer”"),
        (f"Key {OPENAI_KEY}", "such as “Bearer”"),
        (f"x-api-key:{OPENAI_KEY}", "such as “Bearer”"),
        (f'{{"api_key": "{OPENAI_KEY}"}}', "is JSON"),
        (f"{OPENAI_KEY[:12]}…f9Lm", "shortened"),
        (f"{OPENAI_KEY[:12]}...f9Lm", "shortened"),
        (f"{OPENAI_KEY[:12]}***************f9Lm", "shortened"),
        (f"{OPENAI_KEY[:20]} {OPENAI_KEY[20:]}", "has a space"),
        (f"{OPENAI_KEY[:20]}\n{OPENAI_KEY[20:]}", "has a space"),
        (f"{OPENAI_KEY}é", "has a space"),
        (OPENAI_KEY * 10, "longer than 512 characters"),
        ("API-KEY", "`API-KEY` is a placeholder"),
        ("<your key>", "This is a placeholder"),
        ("your-openai-key", "This is a placeholder"),
        ("sk-" + "\ud800" * 20, "has a space"),
    ],
)
def test_what_was_pasted_along_with_a_key_is_explained(pasted: str, words: str) -> None:
    (problem,) = problems("openai", api_key=pasted)
    assert words in problem.message
    assert problem.field == "api_key"
    assert problem.label


@pytest.mark.parametrize(
    ("provider", "key", "warning"),
    [
        ("anthropic", OPENAI_KEY, "This looks like an OpenAI key. Paste an Anthropic key, or switch provider."),
        ("openai", "sk-ant-api03-" + "a" * 80, "This looks like an Anthropic key. Paste an OpenAI key, or switch provider."),
        ("groq", "xai-" + "a" * 80, "This looks like a Grok key. Paste a Groq key, or switch provider."),
        ("xai", "gsk_" + "a" * 52, "This looks like a Groq key. Paste a Grok key, or switch provider."),
        ("openai", ACCESS_KEY["access_key_id"], "This looks like an AWS Bedrock key. Paste an OpenAI key, or switch provider."),
    ],
)
def test_another_providers_prefix_warns_and_does_not_refuse(provider: str, key: str, warning: str) -> None:
    assert warnings(provider, api_key=key) == (warning,)


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        ("openai", "sk-" + "a" * 48),
        ("openai", "no-prefix-we-know-of-0123456789"),
        ("aistudio", "AQ." + "a" * 30),
        ("baseten", "abcdefgh." + "a" * 32),
    ],
)
def test_no_prefix_is_asked_for(provider: str, key: str) -> None:
    assert warnings(provider, api_key=key) == ()


@pytest.mark.parametrize(
    ("provider", "key", "shown"),
    [
        ("openai", OPENAI_KEY, "sk-proj-…f9Lm"),
        ("openai", "sk-" + "a" * 20, "sk-…aaaa"),
        ("anthropic", "sk-ant-api03-" + "b" * 20, "sk-ant-api03-…bbbb"),
        ("deepinfra", "x" * 20, "…xxxx"),
        ("deepinfra", "x" * 19, "…"),
        ("groq", "gsk_" + "x" * 15, "…"),
    ],
)
def test_a_hint_shows_a_public_prefix_and_four_characters(provider: str, key: str, shown: str) -> None:
    assert hint(key, PROVIDERS[provider].prefixes) == shown
    assert take(provider, api_key=key).hint == shown


# Azure


def test_the_briefs_azure_example_parses_and_names_everything_to_fill_in() -> None:
    assert messages("azure", deployments=BRIEF_AZURE) == [
        "Line 4, deployment 1: `ENDPOINT-URL` is a placeholder. Fill in your own `endpoint_url`.",
        "Line 5, deployment 1: `API-KEY` is a placeholder. Fill in your own `api_key`.",
        "Line 10, deployment 2: `ENDPOINT-URL` is a placeholder. Fill in your own `endpoint_url`.",
        "Line 11, deployment 2: `API-KEY` is a placeholder. Fill in your own `api_key`.",
    ]


def test_the_briefs_azure_example_filled_in_is_taken() -> None:
    credential = take("azure", deployments=FILLED_IN)
    assert credential.secret == {"api_keys": [AZURE_KEY, AZURE_KEY]}
    assert credential.public["deployments"][0] == {
        "model_slug": "openai/gpt-4o",
        "endpoint_url": "https://meridian.openai.azure.com",
        "model_id": "gpt-4o",
    }
    assert credential.hint == "2 deployments"
    assert AZURE_KEY not in repr(credential)


ENDPOINT = '"https://meridian.openai.azure.com"'


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            ENDPOINT,
            '"meridian.openai.azure.com"',
            "Line 4, deployment 1: start `endpoint_url` with `https://`. Azure shows it as “Target URI”.",
        ),
        (ENDPOINT, ENDPOINT.replace("https", "http"), "Line 4, deployment 1: start `endpoint_url` with `https://`."),
        (ENDPOINT, '"https://evil.example"', "Line 4, deployment 1: `endpoint_url` must be on Azure"),
        (ENDPOINT, '"https://x.openai.azure.com.evil.com"', "Line 4, deployment 1: `endpoint_url` must be on Azure"),
        (ENDPOINT, '"https://169.254.169.254"', "Line 4, deployment 1: `endpoint_url` is not a public one."),
        (ENDPOINT, '"https://x.openai.azure.com:8443"', "Line 4, deployment 1: `endpoint_url` may not name a port"),
        (ENDPOINT, '"https://me@x.openai.azure.com"', "Line 4, deployment 1: `endpoint_url` may not hold a user name"),
        (ENDPOINT, '"https://x.openai.azure.com./"', "Line 4, deployment 1: `endpoint_url` may not have a dot at the end"),
        (
            ENDPOINT,
            '"https://x.openai.azure.com/admin"',
            "Line 4, deployment 1: `endpoint_url` has a path that Azure does not use.",
        ),
        (
            ENDPOINT,
            '"https://x.openai.azure.com/openai?code=1"',
            "Line 4, deployment 1: `endpoint_url` may hold nothing but api-version",
        ),
        (
            ENDPOINT,
            '"https://x.openai.azure.com/openai/deployments/d?api-version=x"',
            "Line 4, deployment 1: `endpoint_url` has an api-version",
        ),
        (ENDPOINT, '""', "Line 4, deployment 1: `endpoint_url` is empty."),
        (ENDPOINT, '"<endpoint>"', "Line 4, deployment 1: this is a placeholder. Fill in your own `endpoint_url`."),
        (ENDPOINT, "443", "Line 4, deployment 1: `endpoint_url` must be a text in double quotes."),
        (ENDPOINT, "null", "Line 4, deployment 1: `endpoint_url` must be a text in double quotes."),
        (f'"{AZURE_KEY}"', "123", "Line 5, deployment 1: `api_key` must be a text in double quotes."),
        (f'"{AZURE_KEY}"', '["k"]', "Line 5, deployment 1: `api_key` must be a text in double quotes."),
        (f'"{AZURE_KEY}"', '" "', "Line 5, deployment 1: `api_key` is empty."),
        (f'"{AZURE_KEY}"', f'"Bearer {AZURE_KEY}"', "Line 5, deployment 1: `api_key` has a word of the request in front of it"),
        (f'"{AZURE_KEY}"', f'"{AZURE_KEY[:9]} {AZURE_KEY}"', "Line 5, deployment 1: `api_key` has a space"),
        ('"openai/gpt-4o"', '"gpt-4o"', "Line 3, deployment 1: write `model_slug` as author/model, for example `openai/gpt-4o`."),
        ('"openai/gpt-4o"', '"openai / gpt-4o"', "Line 3, deployment 1: write `model_slug` as author/model"),
        ('"openai/gpt-4o"', "true", "Line 3, deployment 1: `model_slug` must be a text in double quotes."),
        ('"openai/gpt-4o"', '"openai/o3-mini"', "`openai/o3-mini` appears twice, on lines 3 and 9. Keep one."),
        ('"openai/gpt-4o"', '"OpenAI/O3-mini"', "`openai/o3-mini` appears twice, on lines 3 and 9. Keep one."),
        (
            '"model_id": "gpt-4o"',
            '"model_id": "my deployment"',
            "Line 6, deployment 1: `model_id` is the deployment's name in Azure",
        ),
        ('"model_id": "gpt-4o"', '"model_id": "../x"', "Line 6, deployment 1: `model_id` is the deployment's name in Azure"),
        ('"model_id"', '"modelId"', "Line 6, deployment 1: `modelId` is not a field. Did you mean `model_id`?"),
        ('"api_key"', '"apikey"', "Line 5, deployment 1: `apikey` is not a field. Did you mean `api_key`?"),
        (
            '"model_id": "gpt-4o"',
            '"model_id": "gpt-4o", "colour": "red"',
            "Line 6, deployment 1: there is a field that is not known here.",
        ),
        (',\n    "model_id": "gpt-4o"', "", "Line 2, deployment 1: `model_id` is missing."),
        (f'    "api_key": "{AZURE_KEY}",\n', "", "Line 2, deployment 1: `api_key` is missing."),
        (',\n    "model_id": "o3-mini"', "", "Line 8, deployment 2: `model_id` is missing."),
        (
            f'"{AZURE_KEY}",\n    "model_id": "o3-mini"',
            '"API-KEY", "model_id": "o3-mini"',
            "Line 11, deployment 2: `API-KEY` is a placeholder.",
        ),
        (
            'swc.cognitiveservices.azure.com/openai/v1",',
            'swc.cognitiveservices.azure.com/openai/v1"',
            'Line 10: a comma is missing after `"endpoint_url"`.',
        ),
    ],
)
def test_a_mistake_in_one_deployment_names_line_entry_and_field(before: str, after: str, message: str) -> None:
    assert before in FILLED_IN
    (problem,) = problems("azure", deployments=FILLED_IN.replace(before, after, 1))
    assert problem.message.startswith(message)
    assert problem.field == "deployments"
    assert problem.line
    assert 1 <= len(problem.label.split()) <= 3


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("", "Paste the JSON list of your deployments, or insert the example and fill it in.", ""),
        (" \n", "Paste the JSON list of your deployments, or insert the example and fill it in.", ""),
        ("[]", "The list is empty. Put at least one deployment between [ and ].", ""),
        ('{"model_slug": "openai/gpt-4o"}', "This is one deployment. Azure needs a list: put it inside [ and ].", "wrap"),
        ('"openai/gpt-4o"', "Azure needs a list of deployments, which starts with [ and ends with ].", ""),
        ("[3]", "Line 1, deployment 1: write each deployment between { and }.", ""),
        ("[[{}]]", "Line 1, deployment 1: write each deployment between { and }.", ""),
        ('{"model_slug": "a/b"},\n{"model_slug": "a/c"}', "Line 1: there is more than one entry here.", ""),
    ],
)
def test_another_shape_than_a_list_of_deployments_is_explained(text: str, message: str, fix: str) -> None:
    (problem,) = problems("azure", deployments=text)
    assert problem.message.startswith(message)
    assert problem.fix == fix


def many(count: int) -> str:
    entry = json.loads(FILLED_IN)[0]
    return json.dumps([entry | {"model_slug": f"openai/m{number}"} for number in range(count)])


def test_one_key_holds_fifty_deployments() -> None:
    assert take("azure", deployments=many(50)).hint == "50 deployments"
    assert messages("azure", deployments=many(51))[0].startswith("These are 51 deployments. One key holds at most 50")


def test_problems_of_all_deployments_come_at_once() -> None:
    found = problems("azure", deployments=FILLED_IN.replace("https://", "").replace("openai/gpt-4o", "gpt-4o"))
    assert [problem.line for problem in found] == [3, 4, 10]


def test_an_address_that_names_another_deployment_wins_and_says_so() -> None:
    text = FILLED_IN.replace("azure.com/openai/v1", "azure.com/openai/deployments/o3-eu/chat/completions?api-version=2024-10-21")
    assert warnings("azure", deployments=text) == (
        "Deployment 2: the address names the deployment “o3-eu”, so that one is used and not the `model_id`.",
    )


def test_the_operator_may_allow_an_endpoint_of_their_own() -> None:
    text = FILLED_IN.replace("https://meridian.openai.azure.com", "http://127.0.0.1:8001")
    credential = take("azure", AllowList.parse(["127.0.0.1"]), deployments=text)
    assert credential.public["deployments"][0]["endpoint_url"] == "http://127.0.0.1:8001"


# AWS Bedrock


def test_the_briefs_bedrock_example_parses_and_names_everything_to_fill_in() -> None:
    assert messages("bedrock", json=BRIEF_BEDROCK) == [
        "Line 2: `your-aws-access-key-id` is a placeholder. Fill in your own `accessKeyId`.",
        "Line 3: `your-aws-secret-access-key` is a placeholder. Fill in your own `secretAccessKey`.",
        "Line 4: `your-aws-region` is a placeholder. Fill in your own `region`.",
    ]


def test_fields_and_pasted_json_make_the_same_credential() -> None:
    pasted = json.dumps({"accessKeyId": ACCESS_KEY["access_key_id"], "secretAccessKey": "s3cr" * 10, "region": "us-east-1"})
    assert take("bedrock", json=pasted) == take("bedrock", **ACCESS_KEY)
    credential = take("bedrock", **ACCESS_KEY)
    assert credential.secret == {"secret_access_key": "s3cr" * 10}
    assert credential.public == {"region": "us-east-1", "access_key_id": ACCESS_KEY["access_key_id"]}
    assert credential.hint == "AKIA…J4QX"


def test_a_temporary_key_takes_its_session_token_along() -> None:
    temporary = ACCESS_KEY | {"access_key_id": "ASIAZ7EXAMPLE234J4QX"}
    assert messages("bedrock", **temporary) == ["ASIA… is a temporary key. Add its session token, or use a key that starts AKIA."]
    assert take("bedrock", **temporary, session_token="t0ken" * 100).secret["session_token"] == "t0ken" * 100


@pytest.mark.parametrize("field", ["api_key", "access_key_id", "secret_access_key"])
@pytest.mark.parametrize("key", ["ABSK" + "q" * 120, "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t" + "q" * 1200])
def test_a_bedrock_api_key_is_taken_wherever_it_was_put(field: str, key: str) -> None:
    credential = take("bedrock", **{field: key, "region": "eu-west-1"})
    assert (credential.secret, credential.public) == ({"api_key": key}, {"region": "eu-west-1"})
    assert credential.hint.endswith("…qqqq")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": "us-east-9"}, "“us-east-9” is not an AWS region. Did you mean us-east-1?"),
        ({"region": "eu-west-1a"}, "“eu-west-1a” is not an AWS region. Did you mean eu-west-1?"),
        ({"region": "us-gov-west-2"}, "“us-gov-west-2” is not an AWS region. Did you mean us-gov-west-1?"),
        ({"region": "us-east1"}, "“us-east1” is not an AWS region. Did you mean us-east-1?"),
        ({"region": "evil.example/"}, "This is not an AWS region. They look like us-east-1."),
        ({"region": ""}, "Enter the region, for example us-east-1."),
        ({"access_key_id": ""}, "Enter the access key ID."),
        ({"secret_access_key": " "}, "Enter the secret access key."),
        ({"access_key_id": "AKIA 123"}, "The access key ID has a space"),
        ({"access_key_id": "akiaz7example234j4qx"}, "An access key ID has 20 capital letters and digits, and starts AKIA."),
        (
            {"access_key_id": "s" * 40, "secret_access_key": "AKIAZ7EXAMPLE234J4QX"},
            "This is an access key ID. The two may have changed places.",
        ),
        ({"access_key_id": "ABSK" + "q" * 120}, "ABSK… is a Bedrock API key, and stands alone. Leave out the secret access key."),
        ({"secret_access_key": "AWS_SECRET_ACCESS_KEY=abc"}, "The secret access key has the name of a setting"),
    ],
)
def test_a_mistake_in_bedrocks_fields_is_explained_at_the_field(change: dict[str, str], message: str) -> None:
    (problem,) = problems("bedrock", **ACCESS_KEY | change)
    assert problem.message.startswith(message)
    assert problem.field in (*change, "access_key_id")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("AKIAZ7EXAMPLE234J4QX", "This is an access key ID. It goes with a secret access key, not here."),
        ("BedrockAPIKey-ab12", "This is the name of a Bedrock API key. Paste its value, which starts ABSK."),
        ("Bearer ABSKqqqq", "The Bedrock API key has a word of the request"),
    ],
)
def test_what_is_no_bedrock_api_key_is_explained(key: str, message: str) -> None:
    assert messages("bedrock", api_key=key, region="us-east-1")[0].startswith(message)


def test_each_of_bedrocks_forms_asks_for_its_own_fields() -> None:
    assert messages("bedrock", api_key="", region="us-east-1") == ["Enter the Bedrock API key."]
    assert messages("bedrock", access_key_id="", secret_access_key="", region="us-east-1") == [
        "Enter the access key ID.",
        "Enter the secret access key.",
    ]
    assert take("bedrock", **ACCESS_KEY, api_key="") == take("bedrock", **ACCESS_KEY)


def test_both_kinds_of_bedrock_credential_at_once_are_refused() -> None:
    found = problems("bedrock", **ACCESS_KEY, api_key="ABSK" + "q" * 120)
    assert {problem.field for problem in found} == {"access_key_id", "secret_access_key"}


def test_odd_aws_keys_are_taken_with_a_warning() -> None:
    assert len(warnings("bedrock", **ACCESS_KEY | {"access_key_id": "ABIAZ7EXAMPLE234J4QX"})) == 1
    assert len(warnings("bedrock", **ACCESS_KEY | {"secret_access_key": "short"})) == 1
    assert len(warnings("bedrock", **ACCESS_KEY, session_token="t0ken")) == 1
    assert len(warnings("bedrock", api_key="something-new-0123456789", region="us-east-1")) == 1


@pytest.mark.parametrize("region", ["US-EAST-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7", "eusc-de-east-1"])
def test_regions_of_every_partition_are_known(region: str) -> None:
    assert take("bedrock", **ACCESS_KEY | {"region": region}).public["region"] == region.lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Paste the JSON object with accessKeyId, secretAccessKey and region."),
        ("[]", "Bedrock takes one object, which starts with { and ends with }."),
        ('{"access_key_id": "x"}', "Line 1: `access_key_id` is not a field. Did you mean `accessKeyId`?"),
        ('{"region": 1}', "Line 1: `region` must be a text in double quotes."),
        ('{\n"region": "us-east-9"}', "Line 1: `accessKeyId` is missing."),
    ],
)
def test_a_mistake_in_bedrocks_json_is_explained(text: str, message: str) -> None:
    assert messages("bedrock", json=text)[0] == message


# Google Vertex AI


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@pytest.fixture(scope="module")
def account() -> dict[str, str]:
    """As Google writes it."""
    return {
        "type": "service_account",
        "project_id": "ml-prod",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": pem(rsa.generate_private_key(65537, 2048)),
        "client_email": "gateway@ml-prod.iam.gserviceaccount.com",
        "client_id": "123456789012345678901",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/gateway",
        "universe_domain": "googleapis.com",
    }


def test_a_service_account_keeps_four_fields_and_nobody_elses_addresses(account: dict[str, str]) -> None:
    hostile = account | {"token_uri": "https://evil.example/token", "universe_domain": "evil.example"}
    credential = take("vertex", json=json.dumps(hostile, indent=2))
    assert credential.secret == {"private_key": account["private_key"], "private_key_id": account["private_key_id"]}
    assert credential.public == {"project_id": "ml-prod", "client_email": account["client_email"], "location": "global"}
    assert credential.hint == "gateway@ml-prod"
    assert "evil" not in f"{credential.secret}{credential.public}"


def test_a_private_key_whose_line_breaks_were_escaped_twice_is_taken(account: dict[str, str]) -> None:
    twice = account | {"private_key": account["private_key"].replace("\n", "\\n")}
    assert take("vertex", json=json.dumps(twice)).secret["private_key"].split() == account["private_key"].split()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "external_account"}, "this is an `external_account` file. Paste the JSON key of a service account."),
        ({"type": "authorized_user"}, "this is an `authorized_user` file. Paste the JSON key of a service account."),
        ({"type": "other"}, "this is another kind of file. Paste the JSON key of a service account."),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"}, "`private_key` cannot be read."),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "`private_key` cannot be read."),
        ({"private_key": "x" * 8000}, "`private_key` cannot be read."),
        ({"client_email": "gateway"}, "`client_email` is not as Google writes it."),
        ({"project_id": "../ml"}, "`project_id` is not as Google writes it."),
        ({"private_key_id": ""}, "`private_key_id` is empty."),
        ({"credential_source": "/etc/passwd"}, "there is a field that is not known here."),
    ],
)
def test_what_is_no_service_account_is_explained(account: dict[str, str], change: dict[str, str], message: str) -> None:
    (problem,) = problems("vertex", json=json.dumps(account | change, indent=0))
    assert problem.message.startswith(f"Line {problem.line}: {message}")
    assert problem.field == "json"


@pytest.mark.parametrize("location", ["us-central1", "Europe-West4 ", "eu", "us", "northamerica-northeast1", ""])
def test_googles_locations_are_taken(account: dict[str, str], location: str) -> None:
    credential = take("vertex", json=json.dumps(account), location=location)
    assert credential.public["location"] == (location.strip().lower() or "global")


@pytest.mark.parametrize("location", ["us-central1-a.evil", "evil.example/", "us central1", "us-central-1", "../x"])
def test_another_text_is_no_location(account: dict[str, str], location: str) -> None:
    (problem,) = problems("vertex", json=json.dumps(account), location=location)
    assert (problem.field, problem.label) == ("location", "Location")


@pytest.mark.parametrize("text", ["", "AIza-not-json", "[]", '"text"'])
def test_vertex_needs_the_whole_file(text: str) -> None:
    assert problems("vertex", json=text)[0].field == "json"


# All of them


def test_commands_read_the_bare_key_or_the_json(account: dict[str, str]) -> None:
    def read(slug: str, text: str) -> Credential:
        return from_stdin(PROVIDERS[slug], text, allow=NOBODY)[0]

    assert read("openai", f"{OPENAI_KEY}\n") == take("openai", api_key=OPENAI_KEY)
    assert read("azure", FILLED_IN) == take("azure", deployments=FILLED_IN)
    assert read("vertex", json.dumps(account)) == take("vertex", json=json.dumps(account))
    assert read("bedrock", json.dumps({"apiKey": "ABSK" + "q" * 120, "region": "us-east-1"})).public == {"region": "us-east-1"}


SECRET = "Xq7" + "ZvW3kP9sLr" * 3
SHAPED: list[Callable[[str], dict[str, str]]] = [
    lambda text: {"api_key": text},
    lambda text: {"deployments": text},
    lambda text: {"deployments": FILLED_IN.replace(AZURE_KEY, text)},
    lambda text: {"deployments": FILLED_IN.replace("https://meridian", text)},
    lambda text: {"deployments": FILLED_IN.replace('"api_key"', text)},
    lambda text: {"json": BRIEF_BEDROCK.replace("your-aws-region", text)},
    lambda text: {"json": BRIEF_BEDROCK.replace('"secretAccessKey"', text)},
    lambda text: {"access_key_id": text, "secret_access_key": text, "session_token": text, "region": text},
    lambda text: {"json": f'{{"type": "{text}", "private_key": "{text}"}}', "location": text},
]
AROUND = st.text(alphabet=" \n\t\"'{}[],:\\-_=/.…éaA0", max_size=8)


def outcome(slug: str, fields: dict[str, str]) -> tuple[Credential | None, CredentialError | None]:
    try:
        return parse(PROVIDERS[slug], fields, allow=NOBODY)[0], None
    except CredentialError as refusal:
        return None, refusal


@given(st.sampled_from(sorted(PROVIDERS)), st.sampled_from(SHAPED), AROUND, AROUND)
def test_no_problem_and_no_hint_repeats_a_secret(
    slug: str, shape: Callable[[str], dict[str, str]], before: str, after: str
) -> None:
    credential, refusal = outcome(slug, shape(before + SECRET + after))
    said = f"{refusal!r} {refusal} {refusal.problems}" if refusal else f"{credential.hint if credential else ''}"
    assert SECRET.lower() not in said.lower()


@given(
    st.sampled_from(sorted(PROVIDERS)),
    st.dictionaries(st.sampled_from(["api_key", "deployments", "json", "region", "location"]), st.text()),
)
def test_any_text_ends_in_a_credential_or_in_problems(slug: str, fields: dict[str, str]) -> None:
    credential, refusal = outcome(slug, fields)
    assert credential is None or len(credential.hint) <= 80
    assert refusal is None or all(problem.message and problem.field for problem in refusal.problems)
