"""Where each operation lives below a provider's base URL, and in which dialect it is spoken there. Pure."""

import re
from urllib.parse import quote

from keys.providers.base import Credential, Provider, Wire

OPERATIONS = {
    "chat": "chat completions",
    "messages": "Anthropic's Messages",
    "responses": "OpenAI's Responses",
    "embeddings": "embeddings",
    "images": "image generation",
    "transcriptions": "audio transcription",
    "translations": "audio translation",
    "speech": "speech",
}
"""What programs may ask the gateway for, with the words for it. A row names those that its provider offers."""

OPENAI = {
    "chat": "chat/completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "images": "images/generations",
    "transcriptions": "audio/transcriptions",
    "translations": "audio/translations",
    "speech": "audio/speech",
}
MODEL = "v1/projects/{project}/locations/{location}/publishers"
OTHERS = {
    ("anthropic", Wire.ANTHROPIC): ("v1/messages", "v1/messages"),
    ("aistudio", Wire.GOOGLE): (
        "v1beta/models/{model}:generateContent",
        "v1beta/models/{model}:streamGenerateContent?alt=sse",
    ),
    ("vertex", Wire.GOOGLE): (
        MODEL + "/google/models/{model}:generateContent",
        MODEL + "/google/models/{model}:streamGenerateContent?alt=sse",
    ),
    ("vertex", Wire.ANTHROPIC): (
        MODEL + "/anthropic/models/{model}:rawPredict",
        MODEL + "/anthropic/models/{model}:streamRawPredict",
    ),
    ("bedrock", Wire.CONVERSE): ("model/{model}/converse", "model/{model}/converse-stream"),
    ("bedrock", Wire.ANTHROPIC): ("model/{model}/invoke", "model/{model}/invoke-with-response-stream"),
    ("bedrock", Wire.RESPONSES): ("openai/v1/responses", "openai/v1/responses"),
    ("perplexity", Wire.RESPONSES): ("v1/responses", "v1/responses"),
}
"""Of those whose paths are not OpenAI's: for a whole answer, and for a stream."""

ONLY = {
    # The name of an application's inference profile on Bedrock does not tell which model is behind it.
    ("bedrock", "messages"): (re.compile(r"claude|:application-inference-profile/"), "Claude"),
    ("bedrock", "responses"): (re.compile(r"(^|[./])openai\."), "OpenAI's"),
    ("vertex", "messages"): (re.compile(r"^claude"), "Claude"),
}
"""Operations that a provider offers for some of its models: how their names look, and whose they are."""

SPOKEN = {"messages": Wire.ANTHROPIC, "responses": Wire.RESPONSES}


def wire_of(provider: Provider, operation: str, native_model: str) -> Wire:
    """The dialect. Raises LookupError, in words whose subject is a key, where the provider does not offer it."""
    if operation not in provider.operations:
        raise LookupError(f"does not offer {OPERATIONS.get(operation, operation)}")
    names, whose = ONLY.get((provider.slug, operation), (None, ""))
    if names and not names.search(native_model):
        raise LookupError(f"offers {OPERATIONS[operation]} for {whose} models only")
    if operation == "chat" and provider.slug == "vertex" and native_model.startswith("claude"):
        return Wire.ANTHROPIC
    return SPOKEN.get(operation, provider.wire if operation == "chat" else Wire.OPENAI)


def path_of(provider: Provider, credential: Credential, operation: str, native_model: str, *, stream: bool) -> str:
    """For `outbound`, with the model in it where it stands in the address. Raises LookupError as `wire_of`."""
    wire = wire_of(provider, operation, native_model)
    once, streamed = OTHERS.get((provider.slug, wire)) or (OPENAI[operation],) * 2
    path = streamed if stream else once
    if "{model}" not in path:
        return path
    if not native_model.strip("."):
        raise LookupError("does not serve a model without a name")
    return path.format(
        model=quote(native_model, safe="@" if provider.slug == "vertex" else ""),
        project=quote(str(credential.public.get("project_id", "")), safe=":"),
        location=quote(str(credential.public.get("location", "")), safe=""),
    )
