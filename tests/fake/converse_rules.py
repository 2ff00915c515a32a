"""What Converse refuses: what AWS's own model of the API does, and what only the service knows."""

from functools import cache
from itertools import pairwise
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

EMPTY = "The text field in the ContentBlock object at messages.{turn}.content.{place} is blank. Add text to the text field."
UNDEFINED = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
FIRST = "A conversation must start with a user message. Try again with a conversation that starts with a user message."
ALTERNATE = (
    "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and "
    "assistant roles and try again."
)
UNMATCHED = (
    "The number of toolResult blocks at messages.{turn}.content exceeds the number of toolUse blocks of previous turn, or "
    "expected toolResult blocks at messages.{turn}.content for the following Ids: {ids}"
)


@cache
def service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


def converse_complaint(body: dict[str, Any], operation: str) -> str | None:
    """What is wrong with a request, in Bedrock's words."""
    shape = service().operation_model(operation).input_shape
    report = ParamValidator().validate({"modelId": "model", **body}, shape)
    if report.has_errors():
        return f"Malformed input request: {report.generate_report()}"
    messages = body.get("messages") or []
    return roles(messages) or blank(body, messages) or calls(body, messages)


def roles(messages: list[Any]) -> str | None:
    said = [message["role"] for message in messages]
    if not said or said[0] != "user":
        return FIRST
    return ALTERNATE if any(one == other for one, other in pairwise(said)) else None


def blank(body: dict[str, Any], messages: list[Any]) -> str | None:
    if any("text" in block and not block["text"].strip() for block in body.get("system") or []):
        return "The text field in the SystemContentBlock object is blank."
    for turn, message in enumerate(messages):
        for place, block in enumerate(message["content"]):
            if "text" in block and not block["text"].strip():
                return EMPTY.format(turn=turn, place=place)
        if not message["content"]:
            return f"The content field in the Message object at messages.{turn} is empty."
    return None


def calls(body: dict[str, Any], messages: list[Any]) -> str | None:
    """Each call has its result in the next turn, and nothing else has one."""
    waiting: set[str] = set()
    for turn, message in enumerate(messages):
        given = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        if len(given) != len(set(given)) or set(given) != waiting:
            return UNMATCHED.format(turn=turn, ids=", ".join(sorted(waiting)) or "none")
        waiting = {block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block}
        if (given or waiting) and not body.get("toolConfig"):
            return UNDEFINED
    return None
