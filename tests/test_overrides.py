"""Names for models that an organization or the operator wrote down: who may, what is refused, and who learns of it."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from gateway.directory import Directory
from keys import overrides
from keys.actions import add_key, set_overrides
from keys.models import ModelOverride, ProviderKey
from keys.providers import PROVIDERS, Credential
from keys.routing import plan
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.staff import give_second_factor

BY = Actor.command("test")
OPUS, PROFILE = "anthropic/claude-opus-5.5", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
QUERIES = 18  # as tests/test_key_health.py counts them


def make_key(organization: Organization, provider: str = "bedrock") -> ProviderKey:
    credential = Credential({"api_key": "ABSK-not-a-real-key"}, {"region": "us-east-1", "deployments": []}, "…")
    fields = {"credential": credential, "test": None, "needs_test": False, "by": BY}
    return add_key(organization=organization, provider=provider, name="Main", **fields)


def operators(provider: str, slug: str, native: str) -> ModelOverride:
    return ModelOverride.objects.create(provider=provider, slug=slug, native_model=native)


def own(organization: Organization) -> dict[str, str]:
    return dict(ModelOverride.objects.for_org(organization).values_list("slug", "native_model"))


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


@pytest.fixture
def bobs(client_of: Callable[[User], Client], bob: User, acme: Organization) -> Client:
    return client_of(bob)


@pytest.fixture
def operator(sam: User, client_of: Callable[[User], Client]) -> Client:
    User.objects.filter(pk=sam.pk).update(is_superuser=True)
    give_second_factor(sam)
    return client_of(sam)


# A line each


def test_lines_are_read_as_slugs_are_spelled_and_written_back() -> None:
    text = f"\n Anthropic/Claude-Opus-5-5={PROFILE} \n\nx-ai/grok-4 = a=b\r\n"
    found, problems = overrides.read(text, PROVIDERS["bedrock"])
    assert (found, problems) == ({OPUS: PROFILE, "x-ai/grok-4": "a=b"}, [])
    assert overrides.read(overrides.written(found), PROVIDERS["bedrock"])[0] == found


@pytest.mark.parametrize(
    ("line", "said", "label"),
    [
        ("anthropic/claude-opus-5.5", "Line 2: put = between the model and its name at AWS Bedrock.", "= missing"),
        ("claude = x", "Line 2: write the model as author/model, for example `anthropic/claude-sonnet-4.5`.", "author/model"),
        (
            "bedrock:a/b = x",
            "Line 2: write the model as author/model, for example `anthropic/claude-sonnet-4.5`.",
            "author/model",
        ),
        ("a/b =", "Line 2: write the name that the model has at AWS Bedrock after the =.", "Name missing"),
        ("a/b = x y", "Line 2: a model's name at AWS Bedrock has no spaces. Write one model on each line.", "One name"),
        ("a/b = " + "x" * 401, "Line 2: this is too long to be a model's name.", "Too long"),
        ("openai/GPT-4o = y", "`openai/gpt-4o` appears twice, on lines 1 and 2. Keep one.", "Twice"),
    ],
)
def test_a_mistake_is_named_with_its_line(line: str, said: str, label: str) -> None:
    (problem,) = overrides.read(f"openai/gpt-4o = x\n{line}", PROVIDERS["bedrock"])[1]
    assert (problem.message, problem.line, problem.label) == (said, 2, label)


def test_there_is_an_end_to_them() -> None:
    (problem,) = overrides.read("a/b = c\n" * 201, PROVIDERS["bedrock"])[1]
    assert problem.message == "These are 201 models. At most 200 can be kept."


# The page of a key


def test_an_owner_sets_changes_and_removes_them(alices: Client, acme: Organization, globex: Organization) -> None:
    set_overrides(organization=globex, provider="bedrock", overrides={"globex/secret": "x"}, by=BY)
    key = make_key(acme)
    page, form = (reverse(name, args=["acme", key.pk]) for name in ("provider_key", "provider_key_models"))
    answer = alices.post(form, {"overrides": f"{OPUS} = {PROFILE}"}, follow=True)
    assert answer.redirect_chain == [(page, 302)]
    assert "Your names for models of AWS Bedrock are saved." in answer.text
    assert f"{OPUS} = {PROFILE}</textarea>" in answer.text
    assert "globex/secret" not in answer.text
    alices.post(form, {"overrides": ""})
    assert (own(acme), own(globex)) == ({}, {"globex/secret": "x"})


def test_a_mistake_keeps_what_was_written_and_saves_nothing(alices: Client, acme: Organization) -> None:
    form = reverse("provider_key_models", args=["acme", make_key(acme).pk])
    answer = alices.post(form, {"overrides": f"{OPUS} = {PROFILE}\nclaude"})
    assert answer.status_code == 422
    assert "<title>Error: AWS Bedrock, Main" in answer.text
    assert 'data-goto="2">Line 2: put = between the model and its name at AWS Bedrock.' in answer.text
    assert 'class="hit" data-say="= missing"' in answer.text
    assert f"{OPUS} = {PROFILE}\nclaude</textarea>" in answer.text
    assert own(acme) == {}


def test_a_member_reads_them_and_what_the_operator_set(bobs: Client, alices: Client, acme: Organization) -> None:
    key = make_key(acme)
    set_overrides(organization=acme, provider="bedrock", overrides={OPUS: PROFILE}, by=BY)
    operators("bedrock", "mistralai/large", "mistral.large-v1:0")
    operators("groq", "a/b", "not-bedrock")
    address = reverse("provider_key", args=["acme", key.pk])
    text = bobs.get(address).text
    assert f"{OPUS} = {PROFILE}</pre>" in text
    assert "<textarea" not in text
    for page in (text, alices.get(address).text):
        assert "mistralai/large = mistral.large-v1:0</pre>" in page
        assert "not-bedrock" not in page


def test_a_provider_without_a_path_for_them_does_not_ask(alices: Client, acme: Organization) -> None:
    text = alices.get(reverse("provider_key", args=["acme", make_key(acme, "fal").pk])).text
    assert "<textarea" not in text
    assert "Fal.AI lists no models for a key." in text


def test_the_page_takes_as_many_queries_for_200_names_as_for_one(
    alices: Client, acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    address = reverse("provider_key", args=["acme", make_key(acme).pk])
    alices.get(address)
    for count in (1, 200):
        many = {f"a/b{number}": "x" for number in range(count)}
        set_overrides(organization=acme, provider="bedrock", overrides=many, by=BY)
        with django_assert_num_queries(QUERIES):
            alices.get(address)


# Who learns of it


def test_what_changed_is_written_down_once(acme: Organization) -> None:
    for names in ({OPUS: "first"}, {OPUS: PROFILE}, {OPUS: PROFILE}):
        set_overrides(organization=acme, provider="bedrock", overrides=names, by=BY)
    events = AuditEvent.objects.filter(tag="model_override:set").order_by("pk")
    assert [event.changes for event in events] == [
        {"before": {"provider": "bedrock", "models": {}}, "after": {"provider": "bedrock", "models": {OPUS: "first"}}},
        {
            "before": {"provider": "bedrock", "models": {OPUS: "first"}},
            "after": {"provider": "bedrock", "models": {OPUS: PROFILE}},
        },
    ]


def test_the_gateway_follows_and_the_organizations_word_wins(acme: Organization, globex: Organization, operator: Client) -> None:
    directory = Directory()
    directory.refresh()
    make_key(acme)
    make_key(globex)

    def asked(organization: Organization) -> str:
        directory.refresh()
        assert directory.snapshot
        return plan(directory.snapshot.tenants[organization.pk].routes, OPUS).candidates[0].native_model

    before = asked(acme)
    operator.post(reverse("admin:keys_modeloverride_add"), {"provider": "bedrock", "slug": OPUS, "native_model": "for-all"})
    assert (asked(acme), asked(globex)) == ("for-all", "for-all")
    set_overrides(organization=acme, provider="bedrock", overrides={OPUS: PROFILE}, by=BY)
    assert (asked(acme), asked(globex)) == (PROFILE, "for-all")
    set_overrides(organization=acme, provider="bedrock", overrides={}, by=BY)
    assert asked(acme) == "for-all"
    row = ModelOverride.objects.get()
    operator.post(reverse("admin:keys_modeloverride_delete", args=[row.pk]), {"post": "yes"})
    assert (asked(acme), asked(globex)) == (before, before)


def test_the_gateway_reads_them_in_one_query(acme: Organization, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make_key(acme)
    for count in (1, 50):
        many = {f"a/b{number}": "x" for number in range(count)}
        set_overrides(organization=acme, provider="bedrock", overrides=many, by=BY)
        # versions, data keys, two kinds of keys, names, three of routing, limits, budgets, health
        with django_assert_num_queries(11):
            Directory().refresh()


# The operator


def test_the_operator_sees_no_organizations_names(operator: Client, acme: Organization) -> None:
    set_overrides(organization=acme, provider="bedrock", overrides={OPUS: PROFILE}, by=BY)
    row = ModelOverride.objects.get()
    assert PROFILE not in operator.get(reverse("admin:keys_modeloverride_changelist")).text
    assert operator.get(reverse("admin:keys_modeloverride_change", args=[row.pk])).status_code == 302


@pytest.mark.parametrize(
    ("slug", "native", "said"),
    [
        ("opus", "x", "Write the model as author/model"),
        ("a/b", "x y", "has no spaces"),
        ("Anthropic/Claude-Opus-5-5", "x", f"There is a name for {OPUS} at this provider already."),
    ],
)
def test_the_operator_is_told_what_is_wrong(operator: Client, slug: str, native: str, said: str) -> None:
    operators("bedrock", OPUS, "for-all")
    fields = {"provider": "bedrock", "slug": slug, "native_model": native}
    assert said in operator.post(reverse("admin:keys_modeloverride_add"), fields).text
    assert ModelOverride.objects.count() == 1


def test_staff_who_are_no_superusers_may_not(sam: User, client_of: Callable[[User], Client]) -> None:
    give_second_factor(sam)
    client = client_of(sam)
    assert client.get(reverse("admin:keys_modeloverride_changelist")).status_code == 403
    assert client.get(reverse("admin:keys_modeloverride_add")).status_code == 403
