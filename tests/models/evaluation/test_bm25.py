from models.evaluation.bm25 import Bm25


def test_bm25_stems_ranks_and_knows_when_it_has_nothing() -> None:
    index = Bm25(["red running shoes", "blue mug striped", "green apple", "mugs of blue", "blue"])
    top = index.top(["blue mugs", "apples", "zzz", ""], 3)
    assert set(top[0][:2]) == {1, 3}
    assert top[1].tolist() == [2, -1, -1]
    assert (top[2:] == -1).all()
