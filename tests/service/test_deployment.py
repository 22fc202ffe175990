"""Arms of ``towers`` share a deployment where they name the same bundle and index."""

from __future__ import annotations

import httpx

from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving


def test_arms_of_the_same_bundle_and_index_share_a_deployment_and_others_do_not(demo: Demo) -> None:
    other = {"bundle": demo.other_bundle.path, "index": demo.other_index}
    experiments = {"towers": {"one": {}, "same": {}, "other": other}}
    with serving(make_settings(demo.bundle.path, demo.index, experiments=experiments)) as server:
        deployments = server.runtime.deployments
        assert deployments["one"] is deployments["same"]
        assert deployments["one"] is not deployments["other"]
        assert deployments["other"].bundle.version == demo.other_bundle.version
        towers = httpx.get(f"{server.url}/version").json()["towers"]
        assert {arm: tower["bundle"] for arm, tower in towers.items()} == {
            "one": demo.bundle.version,
            "same": demo.bundle.version,
            "other": demo.other_bundle.version,
        }
