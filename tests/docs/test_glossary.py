"""The page of words has those that the pages use."""

from __future__ import annotations

import re

from devtools.pages import PAGES

PAGE = "docs/glossary.md"
#: Words of this field, as pages write them; who uses another adds it here and there.
WORDS = """
arm attribute ban behaviour BM25 boost browse bundle calibration canary catalogue co-clicks coverage
CUPED deadline degraded embedding exposure expert feature follower fusion gate guardrail held-out
HNSW HNST holdout index interleaving int8 layer LMoE MNSCE MRR nDCG@ partial pin popularity portrait
preset pull ramp ranker release Rele@K R-prec route run scope session shed slice slot snapshot
teacher tower trigger unit worker
"""


def test_each_word_that_pages_use_is_explained() -> None:
    rows = "\n".join(line for line in PAGES[PAGE].splitlines() if line.startswith("| "))
    others = "\n".join(text for page, text in PAGES.items() if page != PAGE)
    for word in WORDS.split():
        form = re.compile(rf"(?<!\w){re.escape(word)}", re.IGNORECASE)
        assert form.search(rows), f"{word} is not explained"
        assert form.search(others), f"no page uses {word} any more"
