"""Which hosts do what."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.vespa.package.layout import Layout, LayoutError


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"config": ["a", "b"]}, "odd number"),
        ({"query": []}, "no hosts"),
        ({"groups": [["a"], ["b", "c"]]}, "sizes"),
        ({"groups": [["a", "b"], ["a", "c"]]}, "twice"),
        ({"feed": "f1"}, "list of host names"),
        ({"nodes": ["a"]}, "unknown key 'nodes'"),
        ({"tls": "on"}, "needs key"),
    ],
)
def test_layouts_are_checked(roles: dict[str, object], words: str, tmp_path: Path) -> None:
    good = {"config": ["c1"], "query": ["q1"], "feed": ["f1"], "groups": [["a1"], ["b1"]]}
    path = tmp_path / "nodes.toml"
    path.write_text("\n".join(f"{name} = {value!r}" for name, value in good.items()))
    assert not Layout.read(path).is_dev
    path.write_text("\n".join(f"{name} = {value!r}" for name, value in {**good, **roles}.items()))
    with pytest.raises(LayoutError, match=words):
        Layout.read(path)
