"""The text of a client key: what it looks like, what is kept of it, and which texts are none."""

import re
import zlib

from hypothesis import given
from hypothesis import strategies as st

from keys import client_keys
from keys.client_keys import BASE62, ClientKeyText

PEPPER = b"p" * 32
keys = st.builds(client_keys.generate)


@given(keys)
def test_a_fresh_key_has_the_published_shape_and_parses(key: ClientKeyText) -> None:
    assert re.fullmatch(r"byok_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}", key.text)
    assert client_keys.parse(key.text) == (key.public_id, key.secret)


def test_the_checksum_is_crc32_of_all_before_it_in_base62() -> None:
    body = "byok_live_AAAAAAAAAAAA_" + "b" * 32
    value = 0
    for digit in client_keys.checksum(body):
        value = value * 62 + BASE62.index(digit)
    assert value == zlib.crc32(body.encode())
    assert len(client_keys.checksum("")) == 6


@given(keys, st.integers(0, 60), st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed_without_asking_anybody(key: ClientKeyText, at: int, other: str) -> None:
    typo = key.text[:at] + other + key.text[at + 1 :]
    assert client_keys.parse(typo) is None or typo == key.text


@given(keys, st.integers(0, 59))
def test_two_swapped_neighbors_are_noticed(key: ClientKeyText, at: int) -> None:
    text = key.text
    typo = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    assert client_keys.parse(typo) is None or typo == text


@given(st.text(max_size=80))
def test_other_text_is_no_key(text: str) -> None:
    assert client_keys.parse(text) is None


@given(keys, st.sampled_from(["\n", " ", "\0", "٣", "x"]))
def test_nothing_may_stand_before_or_behind_a_key(key: ClientKeyText, extra: str) -> None:
    assert client_keys.parse(key.text + extra) is None
    assert client_keys.parse(extra + key.text) is None


def test_digits_of_other_scripts_are_no_digits() -> None:
    body = "byok_live_" + "٣" * 12 + "_" + "b" * 32
    assert client_keys.parse(body + client_keys.checksum(body)) is None


def test_ids_and_secrets_do_not_repeat_and_use_the_whole_alphabet() -> None:
    made = [client_keys.generate() for _ in range(300)]
    assert len({key.public_id for key in made}) == len({key.secret for key in made}) == 300
    assert set("".join(key.secret for key in made)) == set(BASE62)


def test_the_digest_depends_on_secret_and_pepper() -> None:
    secret = client_keys.generate().secret
    digest = client_keys.digest(PEPPER, secret)
    assert len(digest) == 32
    assert digest == client_keys.digest(PEPPER, secret)
    assert digest != client_keys.digest(b"q" * 32, secret)
    assert digest != client_keys.digest(PEPPER, secret[:-1])


def test_the_hint_and_the_repr_hold_no_secret() -> None:
    key = client_keys.generate()
    assert key.hint == f"byok_live_…{key.text[-4:]}"
    assert key.secret not in repr(key)
    assert key.public_id in repr(key)
