"""How slugs spell the authors and the names of models, and how providers do. Pure."""

import re

# Hosts name models as on Hugging Face. Authors whose slug is another one:
AUTHORS = {
    "alibaba": "qwen",
    "coherelabs": "cohere",
    "deepseek-ai": "deepseek",
    "meta": "meta-llama",
    "minimaxai": "minimax",
    "mistral": "mistralai",
    "moonshot": "moonshotai",
    "thudm": "z-ai",
    "xai": "x-ai",
    "zai": "z-ai",
    "zai-org": "z-ai",
}

# Other names under which programs know our providers.
HOSTS = {
    "amazon-bedrock": "bedrock",
    "aws-bedrock": "bedrock",
    "fal-ai": "fal",
    "gemini": "aistudio",
    "google-ai-studio": "aistudio",
    "google-vertex": "vertex",
    "grok": "xai",
    "x-ai": "xai",
}

CLAUDE = "anthropic"
MINOR = re.compile(r"(?<=[0-9])-(?=[0-9]{1,2}(?![0-9]))")  # between the numbers of a version: 4-5, but not 4-20250514
DATED = re.compile(r"(.+)[-@](?:20[0-9]{2}-[0-9]{2}-[0-9]{2}|20[0-9]{6}|[0-9]{4})")


def usual(author: str, name: str) -> tuple[str, str]:
    """Author and name, both in lower case, as slugs spell them."""
    author = AUTHORS.get(author, author)
    return author, MINOR.sub(".", name) if author == CLAUDE else name


def dashed(name: str) -> str:
    """Of a Claude model, as Anthropic writes its version."""
    return name.replace(".", "-")
