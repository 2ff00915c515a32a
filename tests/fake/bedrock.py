"""AWS Bedrock: Converse and InvokeModel with their streams, OpenAI's dialect beside them, the control plane, and STS."""

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.fake import anthropic, aws_keys, aws_signatures, replay
from tests.fake.anthropic_rules import complaint
from tests.fake.aws_signatures import BadSignature
from tests.fake.behaviors import REFUSING
from tests.fake.converse_rules import converse_complaint
from tests.fake.eventstream import frame, split
from tests.fake.floor import Act, Answer, Play, Received, Refusal, Route

EVENT_STREAM = "application/vnd.amazon.eventstream"
BODY_VERSION = "bedrock-2023-05-31"
FOUNDATION = {  # what can be called by its own name, and what only through a profile
    "amazon.nova-micro-v1:0": "ON_DEMAND",
    "amazon.nova-pro-v1:0": "ON_DEMAND",
    "openai.gpt-oss-120b-1:0": "ON_DEMAND",
    "nvidia.nemotron-nano-12b-v2": "ON_DEMAND",
    "anthropic.claude-sonnet-4-5-20250929-v1:0": "INFERENCE_PROFILE",
    "anthropic.claude-sonnet-4-6": "INFERENCE_PROFILE",
    "meta.llama3-3-70b-instruct-v1:0": "INFERENCE_PROFILE",
}
RETIRED = "anthropic.claude-v2:1"
PROFILES = tuple(f"us.{model}" for model, kind in FOUNDATION.items() if kind == "INFERENCE_PROFILE" or "nova" in model)
ON_DEMAND = (
    "Invocation of model ID {model} with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an "
    "inference profile that contains this model."
)
UNPAID = "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument must be provided."
DENIED = (
    "User: arn:aws:iam::123456789012:user/acme is not authorized to perform: {action} on resource: * because no policy allows it"
)
NOT_TOOLS = replay.find("bedrock", "preserves-cache-anthropic-yaml-1")
TOOLS = replay.find("bedrock", "preserves-cache-anthropic-yaml-0")
STREAM = replay.find("bedrock", "test-bedrock-model-stream")
TOOL_STREAM = replay.find("bedrock", "json-with-tools-1-chunks")
EXCEPTIONS = {
    "incomplete": "IncompleteSignatureException",
    "unknown": "UnrecognizedClientException",
    "mismatch": "InvalidSignatureException",
    "expired": "ExpiredTokenException",
}
STS_CODES = {
    "incomplete": "IncompleteSignature",
    "unknown": "InvalidClientTokenId",
    "mismatch": "SignatureDoesNotMatch",
    "expired": "ExpiredToken",
}
TROUBLE = frame(
    "modelStreamErrorException",
    {"message": "The model had trouble while it streamed.", "originalStatusCode": 500},
    exception=True,
)
EXPIRED = "The security token included in the request is expired"


class Bedrock(Play):
    slug = "bedrock"
    models = (*PROFILES, *(model for model, kind in FOUNDATION.items() if kind == "ON_DEMAND"))
    query = frozenset({"byProvider", "byOutputModality", "byInferenceType", "maxResults", "nextToken", "type", "typeEquals"})
    headers = {"x-amzn-requestid": "00000000-0000-0000-0000-000000000001"}
    stream_type = EVENT_STREAM
    refusals = {
        "refused": (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid."),
        "payment": (403, "AccessDeniedException", UNPAID),
        "forbidden": (403, "AccessDeniedException", DENIED.format(action="bedrock:InvokeModel")),
        "limited": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
        "exhausted": (429, "ThrottlingException", "Too many tokens per day, please wait before trying again."),
        "broken": (500, "InternalServerException", "The system encountered an unexpected error during processing."),
        "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
        "fails": (424, "ModelErrorException", "The model returned an error while it processed the request."),
    }

    def routes(self) -> Iterable[Route]:
        yield "POST", "/bedrock/model/{model}/converse", self.converse
        yield "POST", "/bedrock/model/{model}/converse-stream", self.converse
        yield "POST", "/bedrock/model/{model}/invoke", self.invoke
        yield "POST", "/bedrock/model/{model}/invoke-with-response-stream", self.invoke
        yield "POST", "/bedrock/openai/v1/responses", self.responses
        yield "POST", "/bedrock/openai/v1/chat/completions", self.chat
        yield "GET", "/bedrock-control/foundation-models", self.list_models
        yield "GET", "/bedrock-control/inference-profiles", self.list_profiles
        yield "POST", "/bedrock-sts/", self.identity

    # Who knocks

    def key(self, behavior: str, number: int) -> str:
        return aws_keys.api_key(behavior, number)

    def admit(self, request: web.Request, received: Received, act: Act) -> str:
        if request.headers.get("authorization", "").startswith("Bearer "):
            received.behavior = self.bearer(request, act)
            return ""
        service = "sts" if act == self.identity else "bedrock"
        try:
            key_id = aws_signatures.check(request, received.body, service=service, clock=self.floor.clock)
            received.behavior = aws_keys.behavior_of(key_id) or ""
            self.check_life(received.behavior)
        except BadSignature as bad:
            raise Refusal(self.unsigned(request, act, bad)) from None
        return key_id

    def bearer(self, request: web.Request, act: Act) -> str:
        """What a Bedrock API key is made to do. Raises Refusal."""
        key = request.headers["authorization"].removeprefix("Bearer ")
        if not key.startswith((aws_keys.API_KEY, "bedrock-api-key-")):
            raise self.fails(403, "AccessDeniedException", "Invalid API Key format: Must start with pre-defined prefix")
        behavior = aws_keys.behavior_of_api_key(key)
        if behavior is None or act == self.identity:
            raise Refusal(self.refusal("refused", key))
        return behavior

    def check_life(self, behavior: str) -> None:
        if behavior in ("refused", "echoes"):
            raise BadSignature("unknown", "The security token included in the request is invalid.")
        if behavior == "incorrect":
            raise BadSignature("mismatch", aws_signatures.MISMATCH)
        if behavior == "expired":
            raise BadSignature("expired", EXPIRED)

    def unsigned(self, request: web.Request, act: Act, bad: BadSignature) -> Answer:
        if act == self.identity:
            return sts_error(request, STS_CODES[bad.kind], str(bad))
        return self.says(403, EXCEPTIONS[bad.kind], str(bad))

    def refused(self, received: Received, key: str, act: Act) -> Answer | None:
        """STS needs no permission and takes no money."""
        listing = act in (self.list_models, self.list_profiles)
        if listing and received.behavior in ("forbidden", "unlisted"):
            return self.says(403, "AccessDeniedException", DENIED.format(action="bedrock:ListFoundationModels"))
        free = act == self.identity or (listing and received.behavior in ("payment", "exhausted", "fails"))
        return self.refusal(received.behavior, key) if not free and received.behavior in REFUSING | {"fails"} else None

    def error(self, status: int, kind: str, message: str) -> Any:
        return {"message": message}

    def says(self, status: int, kind: str, message: str) -> Answer:
        url = "http://internal.amazon.com/coral/com.amazon.bedrock/"
        return Answer(status, replay.dump(self.error(status, kind, message)), {"x-amzn-errortype": f"{kind}:{url}"})

    # What it does

    async def converse(self, request: web.Request, received: Received) -> web.StreamResponse:
        streams = request.path.endswith("-stream")
        self.check_model(request)
        body = self.read_json(request, received)
        if wrong := converse_complaint(body, "ConverseStream" if streams else "Converse"):
            raise self.fails(400, "ValidationException", wrong)
        if streams and received.behavior == "errs":
            return await self.pour(request, self.failing())
        tools = bool(body.get("toolConfig")) and "toolResult" not in received.body.decode()
        if streams:
            return await self.perform(request, TOOL_STREAM if tools else STREAM)
        return await self.perform(request, TOOLS if tools else NOT_TOOLS)

    async def invoke(self, request: web.Request, received: Received) -> web.StreamResponse:
        """Claude in its own words: the model is in the address, and the version in the body."""
        model = self.check_model(request)
        body = self.read_json(request, received)
        if "anthropic" not in model:
            raise self.fails(400, "ValidationException", "Malformed input request, please reformat your input and try again.")
        if body.get("anthropic_version") != BODY_VERSION:
            raise self.fails(400, "ValidationException", "anthropic_version: Field required")
        if wrong := "stream: Extra inputs are not permitted" if "stream" in body else claude_complaint(body, model):
            raise self.fails(400, "ValidationException", wrong)
        if not request.path.endswith("-stream"):
            return await self.perform(request, anthropic.TEXT, "anthropic")
        recording = self.floor.chosen.get(self.slug) or replay.load("anthropic", anthropic.TEXT_STREAM)
        frames = claude_frames(recording)
        return await self.pour(request, [*frames[:3], TROUBLE] if received.behavior == "errs" else frames)

    async def responses(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.openai_body(request, received, "input")
        if not body.get("stream"):
            return await self.tell(request, replay.load(MANTLE, replay.find(MANTLE, "once"))["json"])
        return await self.pour_text(request, replay.load(MANTLE, replay.find(MANTLE, "stream-200")))

    async def chat(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.openai_body(request, received, "messages")
        if not body.get("stream"):
            return await self.tell(request, replay.load("openai", "chat")["json"])
        return await self.pour_text(request, replay.load("openai", "chat-stream"))

    async def list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        return await self.tell(request, {"modelSummaries": [summary(model, kind) for model, kind in FOUNDATION.items()]})

    async def list_profiles(self, request: web.Request, received: Received) -> web.StreamResponse:
        arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile"
        rows = [
            {"inferenceProfileId": name, "inferenceProfileArn": f"{arn}/{name}", "status": "ACTIVE", "type": "SYSTEM_DEFINED"}
            for name in PROFILES
        ]
        return await self.tell(request, {"inferenceProfileSummaries": rows})

    async def identity(self, request: web.Request, received: Received) -> web.StreamResponse:
        if received.body != b"Action=GetCallerIdentity&Version=2011-06-15":
            raise Refusal(sts_error(request, "InvalidAction", "Could not find operation", 400))
        who = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/acme", "UserId": "AIDA2345672345672345"}
        if wants_json(request):
            return await self.tell(request, {"GetCallerIdentityResponse": {"GetCallerIdentityResult": who}})
        fields = "".join(f"<{name}>{value}</{name}>" for name, value in who.items())
        text = f"<GetCallerIdentityResponse {XMLNS}><GetCallerIdentityResult>{fields}</GetCallerIdentityResult>"
        return await self.floor.whole(request, xml(200, f"{text}</GetCallerIdentityResponse>"))

    # What it looks at, and what it plays

    def check_model(self, request: web.Request) -> str:
        """The model in the address. An ARN stands for what it ends in."""
        model = unquote(request.match_info["model"]).rpartition("/")[2]
        if model == RETIRED:
            raise self.fails(404, "ResourceNotFoundException", "This model version has reached the end of its life.")
        if FOUNDATION.get(model) == "INFERENCE_PROFILE":
            raise self.fails(400, "ValidationException", ON_DEMAND.format(model=model))
        if model not in self.models:
            raise self.fails(400, "ValidationException", "The provided model identifier is invalid.")
        return model

    def openai_body(self, request: web.Request, received: Received, needed: str) -> dict[str, Any]:
        """Only OpenAI's own models speak OpenAI's dialect here."""
        body = self.read_json(request, received)
        if not body.get(needed):
            raise self.fails(400, "ValidationException", f"Missing required parameter: '{needed}'.")
        if not str(body.get("model")).startswith("openai."):
            raise self.fails(400, "ValidationException", f"The model '{body.get('model')}' isn't supported on this route.")
        return body

    def failing(self) -> list[bytes]:
        """The start of an answer, and then an exception inside the 200."""
        return [*self.events(replay.load(self.slug, STREAM))[:2], TROUBLE]

    def events(self, recording: replay.Recording) -> list[bytes]:
        if "base64" in recording:
            return split(base64.b64decode(recording["base64"]))
        return [frame(name, payload) for chunk in recording["chunks"] for name, payload in chunk.items()]

    async def pour_text(self, request: web.Request, recording: replay.Recording) -> web.StreamResponse:
        headers = {**self.headers, "content-type": "text/event-stream"}
        return await self.floor.stream(request, replay.events(recording), headers)


MANTLE = "bedrock-mantle"
XMLNS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'


def claude_complaint(body: dict[str, Any], model: str) -> str | None:
    return complaint(body, version="2023-06-01", model=model)


def claude_frames(recording: replay.Recording) -> list[bytes]:
    """Anthropic's events in frames, with Bedrock's own count at the end."""
    chunks = [replay.data(event) for event in replay.events(recording)]
    metrics = {"inputTokenCount": 20, "outputTokenCount": 5, "invocationLatency": 900, "firstByteLatency": 300}
    chunks[-1] = {**chunks[-1], "amazon-bedrock-invocationMetrics": metrics}
    return [frame("chunk", {"bytes": base64.b64encode(replay.dump(chunk)).decode(), "p": "abcdef"}) for chunk in chunks]


def summary(model: str, kind: str) -> dict[str, Any]:
    return {
        "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}",
        "modelId": model,
        "modelName": model,
        "providerName": model.partition(".")[0].title(),
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "inferenceTypesSupported": [kind],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def wants_json(request: web.Request) -> bool:
    return "json" in request.headers.get("accept", "")


def sts_error(request: web.Request, code: str, message: str, status: int = 403) -> Answer:
    if wants_json(request):
        return Answer(status, replay.dump({"Error": {"Code": code, "Message": message, "Type": "Sender"}}))
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return xml(status, f"<ErrorResponse {XMLNS}>{error}</ErrorResponse>")


def xml(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), {"content-type": "text/xml"})
