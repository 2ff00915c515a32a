"""Limits on every path of the gateway: who is refused, in which words, and what is given back."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway.admission import USUAL_OUTPUT_TOKENS
from gateway.counters import Claim, Kind, Memory
from gateway.operations.native import read_provider, read_request, read_target
from gateway.recent import recall
from keys import actions
from keys.models import ClientKey, ProviderKey
from orgs.models import Organization, User
from tests.gateway_calls import CHAT, GREETING, STREAMED, Reply, call, get, line, read_until
from tests.gateway_server import BY, RunningGateway
from tests.test_gateway_uploads import BOUNDARY, FILE, MODEL, form
from usage.actions import set_limit
from usage.ingest import Ingester
from usage.models import Scope

pytestmark = pytest.mark.large

pytest_plugins = ["tests.gateway_fixtures"]

JSON = "application/json"


class Way(NamedTuple):
    """A path with what is sent there; `provider` and `models` are those of a key that serves it."""

    path: str
    body: Any
    provider: str = "openai"
    models: tuple[str, ...] = ()
    content_type: str = JSON


WAYS = {
    "chat": Way(CHAT, GREETING),
    "stream": Way(CHAT, STREAMED),
    "messages": Way("/v1/messages", {**GREETING, "model": "anthropic/claude-sonnet-4.5", "max_tokens": 9}, "anthropic"),
    "responses": Way("/v1/responses", {"model": "openai/gpt-4o", "input": "Hello"}),
    "embeddings": Way(
        "/v1/embeddings", {"model": "openai/text-embedding-3-small", "input": "x"}, models=("text-embedding-3-small",)
    ),
    "images": Way("/v1/images/generations", {"model": "openai/gpt-image-1", "prompt": "A cat"}, models=("gpt-image-1",)),
    "speech": Way("/v1/audio/speech", {"model": "openai/tts-1", "input": "Hello", "voice": "alloy"}, models=("tts-1",)),
    "upload": Way(
        "/v1/audio/transcriptions",
        form(MODEL, FILE),
        models=("whisper-1",),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    ),
    "native": Way("/native/openai/chat/completions", {**GREETING, "model": "gpt-4o"}),
    "native look": Way("/native/openai/models", None),
    "native anthropic": Way(
        "/native/anthropic/v1/messages", {**GREETING, "model": "claude-sonnet-4-5", "max_tokens": 9}, "anthropic"
    ),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def owned(gateway: RunningGateway, bob: User) -> RunningGateway:
    """A gateway whose client key is Bob's."""
    ClientKey.objects.filter(pk=gateway.client_key.pk).update(owner=bob)
    gateway._bump()
    return gateway


def ask(gateway: RunningGateway, way: Way = WAYS["chat"], **headers: str) -> Reply:
    method = "GET" if way.body is None else "POST"
    return call(gateway, way.body, way.path, method, headers={"content-type": way.content_type, **headers})


def add(gateway: RunningGateway, way: Way = WAYS["chat"], behavior: str = "valid", name: str = "main") -> ProviderKey:
    return gateway.keep(way.provider, gateway.fake.credential(way.provider, behavior), name, way.models)


def limit(gateway: RunningGateway, scope: Scope = Scope.CLIENT_KEY, target: object = None, **limits: int) -> None:
    targets = {Scope.ORGANIZATION: "", Scope.CLIENT_KEY: str(gateway.client_key.pk)}
    set_limit(organization=gateway.organization, scope=scope, target_id=targets.get(scope, str(target)), by=BY, **limits)
    gateway.directory.refresh()


def said(reply: Reply) -> str:
    """The error's message, in whichever dialect."""
    body = json.loads(reply.body)
    return str(body.get("error", body)["message"])


def held(gateway: RunningGateway, scope: Scope, target: object = "") -> int:
    key = f"keyhold:{gateway.organization.pk}:{scope}:{target}:concurrent"
    return gateway.admission.counters.take_now([Claim(key, Kind.HELD, 0, None)]).used[0]


# Every path


@pytest.mark.parametrize("scope", [Scope.ORGANIZATION, Scope.MEMBER, Scope.CLIENT_KEY])
def test_requests_a_minute_hold_on_every_path(owned: RunningGateway, bob: User, way: Way, scope: Scope) -> None:
    gateway = owned
    add(gateway, way)
    limit(gateway, scope, bob.pk, requests_per_minute=2)
    passed = [ask(gateway, way) for _ in range(2)]
    assert [reply.status for reply in passed] == [200, 200]
    assert [reply.headers["x-keyhold-remaining-requests"] for reply in passed] == ["1", "0"]
    arrived = len(gateway.fake.requests)
    refused = ask(gateway, way)
    assert refused.status == 429
    whose = {"organization": "This organization's", "member": "The member Bob's", "client_key": "The client key “Tests”'s"}[scope]
    assert said(refused).startswith(f"{whose} limit of 2 requests a minute is reached. Try again in ")
    assert 55 <= int(refused.headers["retry-after"]) <= 61
    assert (refused.headers["x-keyhold-limit-requests"], refused.headers["x-keyhold-remaining-requests"]) == ("2", "0")
    assert len(gateway.fake.requests) == arrived


def test_a_provider_keys_limit_passes_it_over_on_every_path(gateway: RunningGateway, way: Way) -> None:
    keys = [add(gateway, way), add(gateway, way, name="spare")]
    for key in keys:
        limit(gateway, Scope.PROVIDER_KEY, key.pk, requests_per_minute=1)
    replies = [ask(gateway, way) for _ in range(3)]
    assert [(reply.status, reply.headers.get("x-keyhold-key")) for reply in replies] == [
        (200, "main"),
        (200, "spare"),
        (429, None),
    ]
    assert "main skipped (is at its limit of 1 requests a minute)" in replies[1].headers["x-keyhold-walk"]
    assert "key “main”'s limit of 1 requests a minute is reached" in said(replies[2])
    assert int(replies[2].headers["retry-after"]) >= 55
    assert len(gateway.fake.requests) == 2


def test_requests_at_a_time_hold_on_every_path(gateway: RunningGateway, way: Way) -> None:
    key = add(gateway, way, "slow")
    limit(gateway, concurrent=1)
    limit(gateway, Scope.PROVIDER_KEY, key.pk, concurrent=5)
    content = way.body if isinstance(way.body, bytes) else json.dumps(way.body).encode() if way.body else b""
    head = f"{'POST' if way.body else 'GET'} {way.path} HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.secret}\r\n"
    head += f"content-type: {way.content_type}\r\ncontent-length: {len(content)}\r\n\r\n"
    with line(gateway, None, head=head) as client:
        client.sendall(content)
        assert gateway.fake.wait_for(lambda: len(gateway.fake.requests) == 1)
        refused = ask(gateway, way)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert "limit of 1 requests at a time" in said(refused)
    assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == 1)  # the client left
    gateway.fake.go()
    assert ask(gateway, way).status == 200
    assert ask(gateway, way).status == 200
    assert (held(gateway, Scope.CLIENT_KEY, gateway.client_key.pk), held(gateway, Scope.PROVIDER_KEY, key.pk)) == (0, 0)


def test_tokens_are_reserved_and_corrected_on_every_path(gateway: RunningGateway, way: Way) -> None:
    key = add(gateway, way)
    for scope, target in ((Scope.CLIENT_KEY, None), (Scope.PROVIDER_KEY, key.pk)):
        limit(gateway, scope, target, tokens_per_minute=1_000_000)
    for asked in range(2):
        used = sum(ended.closed.input_tokens + ended.closed.output_tokens for ended in gateway.attempts())
        reply = ask(gateway, way)
        last = gateway.attempts()[-1]
        reserved = last.opened.input_estimate + (last.opened.output_estimate or usual(last.opened.input_estimate, way))
        assert int(reply.headers["x-keyhold-remaining-tokens"]) == 1_000_000 - used - reserved, asked


def usual(size: int, way: Way) -> int:
    return USUAL_OUTPUT_TOKENS if size and way.path.split("/")[-1] in ("completions", "messages", "responses") else 0


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (CHAT, GREETING, ["error", "code"]),
        ("/v1/messages", GREETING | {"max_tokens": 5}, ["error", "type"]),
        ("/native/aistudio/v1beta/models", None, ["error", "status"]),
        ("/native/fal/fal-ai/flux/dev", {}, ["error_type"]),
        ("/native/bedrock/model/x/converse", {}, ["code"]),
        ("/native/pollo/generation/a/b", {}, ["code"]),
    ],
)
def test_a_refusal_speaks_the_clients_dialect(gateway: RunningGateway, path: str, body: Any, code: list[str]) -> None:
    limit(gateway, requests_per_minute=0)
    reply = ask(gateway, Way(path, body))
    told = json.loads(reply.body)
    for name in code:
        told = told[name]
    assert told in ("limit_requests", "rate_limit_error", "RESOURCE_EXHAUSTED", "LIMIT_REQUESTS")
    assert (reply.status, reply.headers["x-should-retry"]) == (429, "false")
    assert "retry-after" not in reply.headers


# Tokens


def test_what_a_request_may_need_is_reserved_while_it_runs(gateway: RunningGateway) -> None:
    add(gateway, behavior="slow")
    limit(gateway, tokens_per_minute=1000)
    body = {**GREETING, "max_tokens": 700}
    with line(gateway, body) as first:
        assert gateway.fake.wait_for(lambda: len(gateway.fake.requests) == 1)
        refused = call(gateway, body)
        assert (refused.status, refused.error["code"]) == (429, "limit_tokens")
        gateway.fake.go()
        assert b"200 OK" in read_until(first, b"chat.completion")
    assert call(gateway, body).status == 200


def test_a_request_that_can_never_fit_is_told_so(gateway: RunningGateway) -> None:
    add(gateway)
    limit(gateway, tokens_per_minute=100)
    refused = call(gateway, {**GREETING, "max_tokens": 5000})
    assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
    assert "tokens, and the client key “Tests”'s limit is 100 tokens a minute. Ask for a shorter answer." in said(refused)
    assert call(gateway).status == 200  # one that does not say how long its answer may be is not refused for that


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("openai/chat/completions", {"max_completion_tokens": 77, "max_tokens": 7}),
        ("anthropic/v1/messages", {"max_tokens": 77}),
        ("openai/responses", {"max_output_tokens": 77}),
        ("aistudio/v1beta/models/gemini-2.5-flash:generateContent", {"generationConfig": {"maxOutputTokens": 77}}),
        ("bedrock/model/anthropic.claude-3/converse", {"inferenceConfig": {"maxTokens": 77}}),
        ("openai/chat/completions", {"max_tokens": "77", "max_output_tokens": 77, "generationConfig": [1]}),
    ],
)
def test_a_native_request_reserves_what_it_says(path: str, said: dict[str, Any]) -> None:
    target = read_target(read_provider(f"/native/{path}"), f"/native/{path}".encode(), b"")
    request = read_request("POST", target, json.dumps(said).encode())
    assert request.max_tokens == 77
    assert read_request("POST", target, b"{}").max_tokens == 0


@pytest.mark.parametrize(("path", "model"), [(CHAT, "openai/gpt-4o"), ("/native/openai/chat/completions", "gpt-4o")])
def test_each_of_several_answers_is_reserved(gateway: RunningGateway, path: str, model: str) -> None:
    add(gateway)
    limit(gateway, tokens_per_minute=1000)
    for answers, status in ((2, 200), (0, 200), (None, 200), (100, 429)):
        body = {**GREETING, "model": model, "max_tokens": 50, "n": answers}
        assert ask(gateway, Way(path, body)).status == status


def test_each_of_several_images_is_reserved(gateway: RunningGateway) -> None:
    way = WAYS["images"]
    add(gateway, way)
    limit(gateway, tokens_per_minute=10 * USUAL_OUTPUT_TOKENS)
    left = ask(gateway, Way(way.path, {**way.body, "n": 3})).headers["x-keyhold-remaining-tokens"]
    assert int(left) < 7 * USUAL_OUTPUT_TOKENS


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("openai/chat/completions", {"n": 7}),
        ("aistudio/v1beta/models/x:generateContent", {"generationConfig": {"candidateCount": 7}}),
    ],
)
def test_a_native_request_says_how_many_answers_it_wants(path: str, said: dict[str, Any]) -> None:
    target = read_target(read_provider(f"/native/{path}"), f"/native/{path}".encode(), b"")
    assert read_request("POST", target, json.dumps(said).encode()).answers == 7
    for absurd in ({"n": "7"}, {"n": -7}, {"n": True}, {"generationConfig": {"candidateCount": None}}):
        assert read_request("POST", target, json.dumps(absurd).encode()).answers == 1


@pytest.mark.parametrize(
    "path",
    [
        "openai/completions",
        "openai/chat/completions/",
        "azure/openai/Deployments/main/Chat/Completions",
        "anthropic/v1/Messages",
    ],
)
def test_native_words_count_however_the_path_is_spelled(path: str) -> None:
    """Some providers do not mind capitals, or a slash at the end."""
    target = read_target(read_provider(f"/native/{path}"), f"/native/{path}".encode(), b"")
    request = read_request("POST", target, b'{"max_tokens": 77}')
    assert (request.max_tokens, request.size) == (77, 18)
    assert request.model == ("main" if path.startswith("azure") else request.model)


def test_native_words_count_whatever_they_are_called(gateway: RunningGateway) -> None:
    add(gateway)
    limit(gateway, tokens_per_minute=1000)
    way = Way("/native/openai/chat/completions", {**GREETING, "model": "gpt-4o", "max_tokens": 5000})
    assert ask(gateway, way, **{"content-type": "text/plain"}).status == 429


@pytest.mark.parametrize("most", [10**12, 10**19, 10**30])
@pytest.mark.parametrize("path", [CHAT, "/native/openai/chat/completions"])
def test_a_longest_answer_beyond_belief_is_one_like_any_other(gateway: RunningGateway, path: str, most: int) -> None:
    way = Way(path, {**GREETING, "max_tokens": most})
    assert ask(gateway, way).status in (404, 502)  # without keys, it is as if it were modest
    add(gateway)
    limit(gateway, tokens_per_minute=10**9)
    assert ask(gateway, way).status == 429


@pytest.mark.parametrize("behavior", ["refused", "broken", "limited"])
def test_a_failed_attempt_uses_no_tokens(gateway: RunningGateway, behavior: str) -> None:
    failing = add(gateway, behavior=behavior, name="failing")
    limit(gateway, tokens_per_minute=10_000, concurrent=9)
    limit(gateway, Scope.PROVIDER_KEY, failing.pk, tokens_per_minute=10_000, concurrent=9)
    assert call(gateway).status >= 400
    used = gateway.admission.counters.take_now(
        [
            Claim(f"keyhold:{gateway.organization.pk}:{place}:{name}", kind, 0, None)
            for place in (f"client_key:{gateway.client_key.pk}", f"provider_key:{failing.pk}")
            for name, kind in (("tokens", Kind.RATE), ("concurrent", Kind.HELD))
        ]
    ).used
    assert used == (0, 0, 0, 0)


def test_a_stream_that_is_left_is_counted_by_estimate(gateway: RunningGateway) -> None:
    add(gateway, behavior="slow")
    limit(gateway, tokens_per_minute=100_000)
    with line(gateway, STREAMED) as client:
        read_until(client, b"data:")
    assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == 1)
    gateway.fake.go()
    left = int(call(gateway, {**GREETING, "max_tokens": 1}).headers["x-keyhold-remaining-tokens"])
    first, second = gateway.attempts()
    assert first.closed.outcome == "cancelled"
    counted = first.closed.input_tokens + first.closed.output_tokens
    assert left == 100_000 - counted - second.opened.input_estimate - 1
    assert counted > 0


# Nothing resets a limit


def test_an_hour_forward_or_back_resets_nothing(gateway: RunningGateway) -> None:
    add(gateway)
    limit(gateway, requests_per_minute=1)
    assert call(gateway).status == 200
    for step in (3600, -3600):
        with time_machine.travel(time.time() + step):
            assert call(gateway).status == 429


def test_what_a_client_says_of_itself_resets_nothing(gateway: RunningGateway) -> None:
    add(gateway)
    limit(gateway, requests_per_minute=1)
    assert call(gateway).status == 200
    for name in (
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
        "x-keyhold-remaining-requests",
        "user-agent",
        "host",
        "forwarded",
    ):
        assert ask(gateway, **{name: "10.9.8.7"}).status == 429, name
    spelled = call(gateway, headers={"authorization": "", "x-api-key": gateway.secret})
    assert spelled.status == 429


@pytest.mark.parametrize("scope", [Scope.ORGANIZATION, Scope.MEMBER])
def test_new_client_keys_reset_nothing(owned: RunningGateway, bob: User, scope: Scope) -> None:
    gateway = owned
    add(gateway)
    limit(gateway, scope, bob.pk, requests_per_minute=2)
    for number, expected in enumerate((200, 200, 429, 429)):
        key, gateway.secret = actions.issue_client_key(organization=gateway.organization, name=f"New {number}", by=BY)
        ClientKey.objects.filter(pk=key.pk).update(owner=bob)
        gateway._bump()
        assert call(gateway).status == expected


@pytest.mark.parametrize("booked", [False, True])
def test_a_restart_resets_nothing(owned: RunningGateway, bob: User, globex: Organization, booked: bool) -> None:
    gateway = owned
    failing, key = add(gateway, behavior="broken", name="failing"), add(gateway)
    program = str(gateway.client_key.pk)
    scopes = [(Scope.ORGANIZATION, ""), (Scope.MEMBER, bob.pk), (Scope.CLIENT_KEY, program)]
    scopes += [(Scope.PROVIDER_KEY, failing.pk), (Scope.PROVIDER_KEY, key.pk)]
    for scope, target in scopes:
        limit(gateway, scope, target, requests_per_minute=3, tokens_per_minute=10_000)
    assert [call(gateway).status for _ in range(4)] == [200, 200, 200, 429]
    if booked:
        assert Ingester(gateway.folder).run_once() == 7
    memory = Memory()
    recall(memory, gateway.folder)
    claims = [
        Claim(f"keyhold:{gateway.organization.pk}:{scope}:{target}:{name}", Kind.RATE, 1, 10_000)
        for name in ("requests", "tokens")
        for scope, target in scopes
    ]
    tokens = sum(ended.closed.input_tokens + ended.closed.output_tokens for ended in gateway.attempts())
    assert memory.take_now([claim._replace(amount=0) for claim in claims]).used == (
        3,
        3,
        3,
        3,
        3,
        tokens,
        tokens,
        tokens,
        0,
        tokens,
    )
    wait = memory.take_now([claims[0]._replace(most=3)]).wait
    assert 40 < wait <= 61


def test_a_restart_without_limits_or_after_a_minute_knows_nothing(gateway: RunningGateway) -> None:
    add(gateway)
    call(gateway)
    memory = Memory()
    recall(memory, gateway.folder)
    assert memory.taken_since(0) == []
    limit(gateway, Scope.ORGANIZATION, requests_per_minute=3)
    with time_machine.travel(time.time() + 61):
        recall(memory, gateway.folder)
    assert memory.taken_since(0) == []
    recall(memory, gateway.folder)
    assert memory.taken_since(0)[0].amount == 1


def test_a_start_takes_no_longer_for_many_organizations_with_limits(
    gateway: RunningGateway, globex: Organization, django_assert_num_queries: Any
) -> None:
    limit(gateway, requests_per_minute=3)
    with CaptureQueriesContext(connection) as one:
        recall(Memory(), gateway.folder)
    set_limit(organization=globex, scope=Scope.ORGANIZATION, requests_per_minute=3, by=BY)
    with django_assert_num_queries(len(one)):
        recall(Memory(), gateway.folder)


def test_an_edited_limit_keeps_what_was_counted(gateway: RunningGateway) -> None:
    add(gateway)
    for most, expected in ((1, [200, 429]), (3, [200, 200, 429]), (2, [429])):
        limit(gateway, requests_per_minute=most)
        assert [call(gateway).status for _ in expected] == expected
    actions.pause_client_key(key=gateway.client_key, by=BY)
    actions.resume_client_key(key=gateway.client_key, by=BY)
    gateway.directory.refresh()
    assert call(gateway).status == 429


def test_other_organizations_are_not_concerned(gateway: RunningGateway, globex: Organization) -> None:
    add(gateway)
    set_limit(organization=globex, scope=Scope.ORGANIZATION, requests_per_minute=0, by=BY)
    gateway.directory.refresh()
    assert call(gateway).status == 200


# What is told


def test_a_refused_request_is_written_down(gateway: RunningGateway) -> None:
    key = add(gateway)
    limit(gateway, Scope.PROVIDER_KEY, key.pk, requests_per_minute=1)
    limit(gateway, requests_per_minute=2)
    assert [call(gateway).status for _ in range(3)] == [200, 429, 429]
    _, no_key, no_request = gateway.attempts()
    assert [(each.closed.outcome, each.closed.error_class) for each in (no_key, no_request)] == [
        ("refused", "limit_requests")
    ] * 2
    assert [(each.why, each.reason) for each in no_key.opened.skipped] == [("limit", "is at its limit of 1 requests a minute")]


def test_every_answer_tells_of_the_tightest_limit(gateway: RunningGateway) -> None:
    add(gateway)
    limit(gateway, Scope.ORGANIZATION, requests_per_minute=100, concurrent=7)
    limit(gateway, requests_per_minute=10, tokens_per_minute=5000)
    for body, status in ((GREETING, 200), (STREAMED, 200), ({**GREETING, "model": "nobody/has-it"}, 404)):
        reply = call(gateway, body)
        assert reply.status == status
        told = {name: int(value) for name, value in reply.headers.items() if name.startswith("x-keyhold-limit-")}
        assert told == {"x-keyhold-limit-requests": 10, "x-keyhold-limit-concurrent": 7, "x-keyhold-limit-tokens": 5000}
    assert reply.headers["x-keyhold-remaining-requests"] == "7"


def test_without_limits_nothing_is_told(gateway: RunningGateway) -> None:
    add(gateway)
    assert not [
        name for name in call(gateway).headers if name.startswith("x-keyhold-") and ("limit" in name or "remaining" in name)
    ]


def test_a_program_can_ask_what_is_left_to_its_key(owned: RunningGateway, bob: User) -> None:
    gateway = owned
    add(gateway)
    limit(gateway, Scope.MEMBER, bob.pk, concurrent=3)
    limit(gateway, requests_per_minute=5, tokens_per_minute=9000)
    call(gateway)
    call(gateway)
    used = sum(ended.closed.input_tokens + ended.closed.output_tokens for ended in gateway.attempts())
    for _ in range(2):  # asking costs nothing
        reply = get(gateway, "/v1/key")
        assert (reply.status, json.loads(reply.body)) == (
            200,
            {
                "object": "key",
                "name": "Tests",
                "owner": "Bob",
                "expires_at": None,
                "limits": [
                    {"of": "member", "unit": "concurrent", "limit": 3, "remaining": 3},
                    {"of": "client_key", "unit": "requests_per_minute", "limit": 5, "remaining": 3},
                    {"of": "client_key", "unit": "tokens_per_minute", "limit": 9000, "remaining": 9000 - used},
                ],
                "budgets": [],
            },
        )
    assert get(gateway, "/v1/key", headers={"authorization": "Bearer nobody"}).status == 401


def test_many_at_once_do_not_pass_more_than_the_limit_says(gateway: RunningGateway) -> None:
    add(gateway)
    limit(gateway, requests_per_minute=30)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: call(gateway).status, range(80)))
    assert (statuses.count(200), statuses.count(429)) == (30, 50)
