"""One fake for the whole session, fresh for each test. A test in which something leaked to it fails."""

from collections.abc import Iterator

import pytest

from tests.fake import FakeProvider


@pytest.fixture(scope="session")
def running_fake() -> Iterator[FakeProvider]:
    fake = FakeProvider().start()
    yield fake
    fake.stop()


@pytest.fixture
def fake_provider(running_fake: FakeProvider) -> Iterator[FakeProvider]:
    """Plays the providers. A test that leaks on purpose clears `violations` itself."""
    running_fake.reset()
    yield running_fake
    assert not running_fake.violations
