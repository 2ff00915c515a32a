"""What Gemini refuses, in AI Studio and on Vertex. Names may be written in camelCase or with underscores."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

TOP = frozenset(
    "contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent store serviceTier model".split()
)
VERTEX_ONLY = frozenset({"labels", "modelArmorConfig"})
GENERATION = frozenset(
    "stopSequences responseMimeType responseSchema responseJsonSchema responseModalities candidateCount maxOutputTokens "
    "temperature topP topK seed presencePenalty frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers "
    "speechConfig thinkingConfig imageConfig mediaResolution responseFormat audioTimestamp routingConfig".split()
)
DATA = frozenset(
    "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall toolResponse".split()
)
BESIDE = frozenset("thought thoughtSignature videoMetadata mediaResolution partMetadata".split())
UNKNOWN = 'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
NO_DATA = (
    "* GenerateContentRequest.contents[{turn}].parts[{place}].data: required oneof field 'data' must have one initialized field"
)
NOT_EQUAL = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)
AFTER_USER = "Please ensure that function call turn comes immediately after a user turn or after a function response turn."


def complaint(body: Mapping[str, Any], *, vertex: bool = False, counts: bool = False) -> str | None:
    """What is wrong with a request, in Google's words."""
    known = TOP | (VERTEX_ONLY if vertex else set()) | ({"generateContentRequest", "instances"} if counts else set())
    config = body.get("generationConfig") or body.get("generation_config") or {}
    wrong = unknown(body, known, "") or unknown(config, GENERATION, " at 'generation_config'")
    if wrong:
        return wrong
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    return parts(contents) or calls(contents) or instruction(body)


def unknown(value: Mapping[str, Any], names: Iterable[str], where: str) -> str | None:
    strange = [name for name in value if camel(name) not in names]
    return UNKNOWN.format(name=strange[0], where=where) if strange else None


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def parts(contents: list[Any]) -> str | None:
    for turn, content in enumerate(contents):
        if content.get("role", "user") not in ("user", "model", "function"):
            return "Please use a valid role: user, model."
        if not content.get("parts"):
            return f"* GenerateContentRequest.contents[{turn}].parts: contents.parts must not be empty."
        for place, part in enumerate(content["parts"]):
            if wrong := unknown(part, DATA | BESIDE, f" at 'contents[{turn}].parts[{place}]'"):
                return wrong
            if len(kinds(part)) != 1:
                return NO_DATA.format(turn=turn, place=place)
    return None


def kinds(part: Mapping[str, Any]) -> set[str]:
    return {camel(name) for name in part} & DATA


def calls(contents: list[Any]) -> str | None:
    """Calls are answered in the next turn, all of them."""
    waiting = 0
    for turn, content in enumerate(contents):
        given = sum("functionResponse" in kinds(part) for part in content["parts"])
        if given != waiting:
            return NOT_EQUAL
        waiting = sum("functionCall" in kinds(part) for part in content["parts"])
        if waiting and (turn == 0 or contents[turn - 1].get("role") == "model"):
            return AFTER_USER
    return None


def instruction(body: Mapping[str, Any]) -> str | None:
    system = body.get("systemInstruction") or body.get("system_instruction")
    if system is not None and not system.get("parts"):
        return "* GenerateContentRequest.system_instruction.parts: must not be empty."
    return None
