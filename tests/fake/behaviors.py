"""What a key may be made to do, and how a key says so."""

# The number is the status that it ends in where nothing else is said; 0 means that no whole answer comes.
BEHAVIORS = {
    "valid": 200,
    "refused": 401,
    "echoes": 401,  # and the error repeats the key, as careless servers do
    "incorrect": 400,  # how xAI and Google say that a key is wrong
    "expired": 401,
    "payment": 402,
    "forbidden": 403,
    "limited": 429,
    "exhausted": 429,  # out of money, in OpenAI's words; Anthropic says it with a 400
    "broken": 500,
    "overloaded": 503,  # Anthropic's is 529
    "suspended": 200,  # the account page says that the account is blocked; the rest is forbidden
    "unlisted": 200,  # may be used, but may not list models (Bedrock)
    "listonly": 200,  # lists models and is forbidden everything else (Google)
    "redirects": 302,
    "html": 200,
    "compressed": 200,  # answers gzip although nobody asked
    "errs": 200,  # a stream that turns into an error event
    "fails": 200,  # a 200 that says it failed, or a job that fails
    "wrapped": 200,  # Pollo's other form of answer
    "slow": 200,  # sends its first event, or nothing, until fake.go()
    "stalls": 0,  # accepts, never answers
    "cuts": 0,  # breaks off in the middle
}
REFUSING = frozenset("refused echoes incorrect expired payment forbidden limited exhausted broken overloaded suspended".split())
ALIASES = {
    "echoes": "refused",
    "incorrect": "refused",
    "expired": "refused",
    "payment": "forbidden",
    "exhausted": "payment",
    "suspended": "forbidden",
    "overloaded": "broken",
}


def key(prefix: str, slug: str, behavior: str, number: int) -> str:
    return f"{prefix}fake-{behavior}-{slug}-{number:04}"


def behavior_of(key: str, prefix: str, slug: str) -> str | None:
    """None for a key that this provider never gave out."""
    head, _, rest = key.partition("fake-")
    behavior, _, tail = rest.partition("-")
    return behavior if head == prefix and behavior in BEHAVIORS and tail.startswith(f"{slug}-") else None
