"""Made-up OpenAI conversations, for checking that a foreign wire loses nothing of them."""

import json

from hypothesis import strategies as st

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
texts = st.text(min_size=1, max_size=20)
users = st.one_of(
    texts.map(lambda text: {"role": "user", "content": text}),
    texts.map(
        lambda text: {
            "role": "user",
            "content": [
                {"type": "text", "text": text},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {"type": "image_url", "image_url": {"url": "https://images.example/cat.png"}},
            ],
        }
    ),
)
arguments = st.dictionaries(texts, st.one_of(st.integers(), texts, st.none()), max_size=3)


@st.composite
def rounds(draw):
    """A user's turn, the assistant's calls and their results, or just an answer."""
    calls = [
        {
            "id": f"call_{draw(st.uuids())}",
            "type": "function",
            "function": {"name": "f", "arguments": json.dumps(draw(arguments))},
        }
        for _ in range(draw(st.integers(0, 3)))
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls]
    return [draw(users), {"role": "assistant", "content": draw(texts), **({"tool_calls": calls} if calls else {})}, *results]


def flat(messages):
    """Everything an OpenAI request says, in order."""
    for message in messages:
        if message["role"] == "tool":
            yield ("result", message["tool_call_id"], message["content"])
            continue
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            yield (message["role"], part["text"]) if part["type"] == "text" else ("image", part["image_url"]["url"])
        for call in message.get("tool_calls", []):
            yield ("call", call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))


conversations = st.lists(rounds(), min_size=1, max_size=3).map(
    lambda rounds: [message for messages in rounds for message in messages]
)
