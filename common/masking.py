"""Hides passwords before an address is shown."""

from __future__ import annotations

from urllib.parse import urlsplit

HIDDEN = "***"


def mask_url(url: str) -> str:
    """The address with its password, and its query string, replaced; anything unreadable is hidden whole."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.username or ""
        has_password = parts.password is not None
    except ValueError:
        return HIDDEN
    if not parts.scheme:
        return HIDDEN
    login = f"{user}:{HIDDEN}@" if has_password else f"{user}@" if user else ""
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{login}{host}{parts.path}{query}"
