from __future__ import annotations

import pytest

from devtools.manifests import Object
from tests.deploy.charts import CASES, rendered


@pytest.fixture(params=CASES)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """What the chart makes of each case of values."""
    return rendered(request.param)
