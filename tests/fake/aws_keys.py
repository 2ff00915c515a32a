"""The AWS credentials that the fake hands out. They say themselves what is done to them; nothing is remembered."""

import base64
import hashlib

from tests.fake.behaviors import BEHAVIORS

DIGITS = "234567"
API_KEY = "ABSK"


def access_key_id(behavior: str, number: int, *, temporary: bool = False) -> str:
    """AKIA or ASIA and sixteen of A-Z2-7, as AWS has them: the behavior, filled up, and the number."""
    places = [DIGITS[number // 6**power % 6] for power in (3, 2, 1, 0)]
    return f"{'ASIA' if temporary else 'AKIA'}{behavior.upper():2<12}{''.join(places)}"


def behavior_of(key_id: str) -> str | None:
    behavior = key_id[4:16].rstrip("2").lower()
    return behavior if key_id[:4] in ("AKIA", "ASIA") and len(key_id) == 20 and behavior in BEHAVIORS else None


def secret_access_key(key_id: str) -> str:
    return base64.b64encode(hashlib.sha256(f"secret of {key_id}".encode()).digest()).decode()[:40]


def session_token(key_id: str) -> str:
    return "IQoJb3JpZ2luX2VjE" + base64.b64encode(hashlib.sha512(f"session of {key_id}".encode()).digest()).decode()


def api_key(behavior: str, number: int) -> str:
    """A long-lived Bedrock API key."""
    return API_KEY + base64.b64encode(f"BedrockAPIKey-fake-{behavior}-{number:04}:".encode().ljust(90, b"+")).decode()


def behavior_of_api_key(key: str) -> str | None:
    try:
        text = base64.b64decode(key.removeprefix(API_KEY), validate=True).decode()
    except ValueError:
        return None
    behavior = text.removeprefix("BedrockAPIKey-fake-").partition("-")[0]
    return behavior if key.startswith(API_KEY) and behavior in BEHAVIORS else None
