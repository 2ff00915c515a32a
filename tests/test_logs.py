"""Should a secret ever come as far as a log entry, it is masked there."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from django.conf import settings

from byok_site.logs import MaskedLine, mask
from keys.client_keys import MANAGEMENT, PREFIX, generate
from keys.providers import PROVIDERS

SECRET = "c4n4ry-n0t-a-s3cret_0123456789"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, StringIO]]:
    """A logger with the product's own formatter, as settings.py has it."""
    settled = settings.LOGGING["formatters"]["line"]
    assert settled["()"] == "byok_site.logs.MaskedLine"
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(MaskedLine(settled["format"], style=settled["style"]))
    logger = logging.getLogger("keyhold.tests")
    logger.addHandler(handler)
    yield logger, written
    logger.removeHandler(handler)


@pytest.mark.parametrize("start", sorted({start for provider in PROVIDERS.values() for start in provider.prefixes}))
def test_a_provider_key_is_masked_after_how_it_begins(start: str, log: tuple[logging.Logger, StringIO]) -> None:
    logger, written = log
    logger.error("Refused: %s, said the provider.", start + SECRET)
    assert SECRET not in written.getvalue()
    assert f"Refused: {start}…, said the provider." in written.getvalue()


@pytest.mark.parametrize("prefix", [PREFIX, MANAGEMENT])
def test_our_own_keys_are_masked(prefix: str) -> None:
    text = generate(prefix).text
    assert mask(f"authorization: Bearer {text}\n") == "authorization: Bearer …\n"
    assert mask(f"It was {text}.") == f"It was {prefix}…."


def test_what_an_error_says_of_itself_is_masked_too(log: tuple[logging.Logger, StringIO]) -> None:
    logger, written = log
    try:
        raise ValueError(f"Illegal header value b'sk-proj-{SECRET}'")
    except ValueError:
        logger.exception("A request failed.")
    assert "Illegal header value b'sk-proj-…'" in written.getvalue()
    assert SECRET not in written.getvalue()


def test_a_private_key_is_masked_also_where_it_is_cut_off() -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n{SECRET}\n"
    for text in (pem, f"{pem}-----END PRIVATE KEY-----"):
        assert SECRET not in mask(f"It was {text}")


@pytest.mark.parametrize("path", ["/setup/", "/invite/", "/reset/1a-", "/account/email/"])
def test_links_that_work_once_are_masked(path: str) -> None:
    assert SECRET not in mask(f"Internal Server Error: {path}{SECRET}/")


@pytest.mark.parametrize(
    "said",
    [
        "The organization 0b8b4ff4-6d4f-4a0e-8a7c-5b8a3d2c9a11 is deleted, as its owners decided.",
        "Internal Server Error: /o/acme/providers/0b8b4ff4-6d4f-4a0e-8a7c-5b8a3d2c9a11/",
        "A desk-sk- is no key, and neither is basic education.",
    ],
)
def test_what_is_no_secret_stays_as_it_is(said: str) -> None:
    assert mask(said) == said
