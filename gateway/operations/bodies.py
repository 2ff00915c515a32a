"""JSON bodies of clients, taken apart only as far as the gateway must: the rest goes on as it came."""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from gateway.errors import bad_request
from keys import preferences
from keys.preferences import PreferenceError, Preferences

MODEL_LENGTH = 200

_decode_members = Decoder(dict[str, Raw]).decode
_string = Decoder(str | None).decode
_boolean = Decoder(bool | None).decode
_integer = Decoder(int | None).decode


def members(body: bytes) -> dict[str, Raw]:
    """The body's own bytes, name by name. Of a name that stands twice the last counts. Raises Refusal."""
    try:
        return _decode_members(body)
    except msgspec.ValidationError:
        raise bad_request("The body must be a JSON object.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_request(f"The body is not JSON that can be read: {error}.") from None


def field[T](members: Mapping[str, Raw], name: str, decode: Callable[[Raw], T], wanted: str) -> T | None:
    """One member, or None where it is absent. Raises Refusal that names it."""
    if name not in members:
        return None
    try:
        return decode(members[name])
    except (msgspec.DecodeError, RecursionError):
        raise bad_request(f"`{name}` must be {wanted}.", param=name) from None


def model(members: Mapping[str, Raw]) -> str:
    return named(field(members, "model", _string, "a string, such as openai/gpt-4o"))


def named(model: str | None) -> str:
    """The model's name. Raises Refusal where there is none, or none that can be."""
    if not model or len(model) > MODEL_LENGTH or not model.isprintable():
        raise bad_request(f"`model` must be a name of at most {MODEL_LENGTH} characters, such as openai/gpt-4o.", param="model")
    return model


def stream(members: Mapping[str, Raw]) -> bool:
    return is_set(members, "stream")


def is_set(members: Mapping[str, Raw], name: str) -> bool:
    return bool(field(members, name, _boolean, "true or false"))


def limit(members: Mapping[str, Raw], *names: str) -> int:
    """The greatest of these limits, 0 where none is set."""
    return max(0, *(field(members, name, _integer, "a whole number") or 0 for name in names), 0)


def wishes(members: Mapping[str, Raw]) -> Preferences:
    """What the request itself wishes of routing. Raises Refusal that names the field."""
    told = field(members, "provider", msgspec.json.decode, 'an object, such as {"order": ["openai", "azure"]}')
    try:
        return preferences.read(told, allowed=preferences.IN_REQUESTS, prefix="provider.")
    except PreferenceError as error:
        raise bad_request(str(error), param=error.field) from None


def with_model(members: Mapping[str, Raw], native_model: str) -> dict[str, Raw]:
    """The members for a provider: with its own name for the model, and without what is said to us alone."""
    kept = {name: value for name, value in members.items() if name != "provider"}
    return {**kept, "model": Raw(msgspec.json.encode(native_model))}
