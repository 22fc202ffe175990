"""Fixtures of these tests."""

from tests.support.vespa_peer import vespa_application, vespa_judge, vespa_peer

__all__ = ["vespa_application", "vespa_judge", "vespa_peer"]
