"""Plays the providers on loopback, strictly: see server.py."""

from tests.fake.server import FakeProvider, Received

__all__ = ["FakeProvider", "Received"]
