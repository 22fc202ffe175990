"""Fixtures of these tests, which are left out, in one line, where the peer cannot run."""

import pytest

from tests.support.vespa_peer import unavailable, vespa_application, vespa_judge, vespa_peer

__all__ = ["vespa_application", "vespa_judge", "vespa_peer"]

if unavailable() is not None:
    collect_ignore_glob = ["test_*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reason = unavailable()
    if reason is not None:
        terminalreporter.write_line(f"devtools/vespa_peer left out: {reason}")
