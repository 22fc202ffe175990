"""Settings that would leak or not work are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.index.vespa.answers import settings


def test_settings_that_would_leak_or_not_work() -> None:
    with pytest.raises(ValueError, match="in the clear"):
        settings("http://vespa:8080", token="s3cret")
    with pytest.raises(ValueError, match="both or neither"):
        settings("https://vespa:8443", certificate=Path("a.pem"))
    with pytest.raises(ValueError, match="credentials"):
        settings("http://user:secret@vespa:8080")
    with pytest.raises(ValueError, match="endpoint"):
        settings("vespa:8080")
    assert "s3cret" not in repr(settings("https://vespa:8443", token="s3cret"))
