"""Portraits as bytes: what goes in comes out, and what is none of ours is no value."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.actions import ACTIONS
from artifacts.bundle.manifest import Dimensions, Manifest, Preprocessing
from artifacts.bundle.portrait import Behaviour, recent
from artifacts.cache import codec
from artifacts.cache.codec import FORMAT, FeatureCodec, PortraitCodec, StoredPortrait
from producer.merge import merged

SHAPE = (3, 4)
CODEC = PortraitCodec(*SHAPE)
FEATURES = FeatureCodec(*SHAPE)
IDS = st.text(st.characters(codec=None), min_size=1, max_size=12)  # lone surrogates too, which JSON may carry
FEW_IDS = st.sampled_from(["a", "b", "é", "\ud800", "long" * 30])
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
BEHAVIOUR = st.builds(Behaviour, IDS | FEW_IDS, st.sampled_from(ACTIONS.behaviours), st.none() | TIMES)
FINITE = st.floats(-60_000, 60_000, width=16)


def features_of(item_id: str) -> np.ndarray:
    seed = sum(item_id.encode("utf-8", "surrogatepass"))
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float16)


@st.composite
def portraits(draw: st.DrawFn) -> StoredPortrait:
    behaviours = draw(st.lists(BEHAVIOUR, max_size=12))
    items = list(dict.fromkeys(b.item_id for b in behaviours))
    known = [item for item in items if draw(st.booleans())]
    numbers = draw(st.lists(FINITE, min_size=12, max_size=12))
    features = np.resize(np.array(numbers, np.float16), (len(known), *SHAPE))
    return StoredPortrait(behaviours, known, features)


def same(one: StoredPortrait | None, two: StoredPortrait) -> bool:
    return (
        one is not None
        and list(one.behaviours) == list(two.behaviours)
        and list(one.known) == list(two.known)
        and one.features.dtype == two.features.dtype
        and np.array_equal(one.features, two.features)
    )


@given(portraits())
def test_what_goes_in_comes_out(portrait: StoredPortrait) -> None:
    assert same(CODEC.decode(CODEC.encode(portrait)), portrait)


@given(portraits())
def test_an_item_is_stored_once_and_a_behaviour_takes_eleven_bytes(portrait: StoredPortrait) -> None:
    ids = {b.item_id for b in portrait.behaviours}
    names = sum(2 + len(i.encode("utf-8", "surrogatepass")) for i in ids)
    assert (
        len(CODEC.encode(portrait)) == 14 + 11 * len(portrait.behaviours) + names + portrait.features.nbytes
    )


@given(portraits(), st.data())
def test_every_other_length_is_no_value(portrait: StoredPortrait, data: st.DataObject) -> None:
    encoded = CODEC.encode(portrait)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert CODEC.decode(encoded[:cut]) is None
    assert CODEC.decode(encoded + b"\0") is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_portrait_or_none(data: bytes) -> None:
    CODEC.decode(data)
    CODEC.decode(struct.pack("<BBHHHH", 1, *SHAPE, 1, 1, 0) + data)


@given(portraits(), st.data())
def test_a_value_with_a_flipped_bit_or_zeros_is_no_value(
    portrait: StoredPortrait, data: st.DataObject
) -> None:
    one, other = CODEC.encode(portrait), FEATURES.encode(features_of("a"))
    for decode, encoded in ((CODEC.decode, one), (FEATURES.decode, other)):
        flipped = bytearray(encoded)
        flipped[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert decode(bytes(flipped)) is None
        start = data.draw(st.integers(0, len(encoded) - 1))
        zeroed = encoded[:start] + b"\0" * (len(encoded) - start)
        assert zeroed == encoded or decode(zeroed) is None


def test_values_of_another_format_are_no_values_in_either_direction() -> None:
    """A corpus of values as earlier formats wrote them; add to it before the format changes."""
    corpus = json.loads((Path(__file__).parent / "old_values.json").read_text())
    assert tuple(corpus["shape"]) == SHAPE
    assert FORMAT == 2
    for values in corpus["formats"].values():
        assert all(FEATURES.decode(bytes.fromhex(each)) is None for each in values["features"])
        assert all(CODEC.decode(bytes.fromhex(each)) is None for each in values["portraits"])
    # Format 1 took features of exactly this length, and portraits that begin with a 1.
    assert FEATURES.size != 3 * 4 * 2
    assert CODEC.encode(StoredPortrait([], [], np.zeros((0, *SHAPE), np.float16)))[0] != 1


def test_the_same_bytes_under_another_format_s_checksum_are_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(codec, "FORMAT", 3)
        later = FEATURES.encode(features_of("a"))
    assert FEATURES.decode(later) is None


def test_nothing_another_format_another_bundle_s_shape_and_no_numbers_are_no_value() -> None:
    one = StoredPortrait([Behaviour("a", "click")], ["a"], np.ones((1, *SHAPE), np.float16))
    encoded = CODEC.encode(one)
    assert same(CODEC.decode(encoded), one)
    assert CODEC.decode(None) is None
    assert CODEC.decode(b"\x01" + encoded[1:]) is None
    assert PortraitCodec(3, 5).decode(encoded) is None
    one.features[0, 0, 0] = np.inf
    assert CODEC.decode(CODEC.encode(one)) is None


@pytest.mark.parametrize(
    "portrait",
    [
        StoredPortrait([Behaviour("a", "impression")], [], np.zeros((0, *SHAPE), np.float16)),
        StoredPortrait([Behaviour("a", "click")], ["a"], np.zeros((2, *SHAPE), np.float16)),
        StoredPortrait([Behaviour("a", "click")], ["a", "a"], np.zeros((2, *SHAPE), np.float16)),
        StoredPortrait([Behaviour("a" * 513, "click")], [], np.zeros((0, *SHAPE), np.float16)),
        StoredPortrait([Behaviour("a", "click")] * 1025, [], np.zeros((0, *SHAPE), np.float16)),
    ],
)
def test_what_cannot_be_stored_is_refused(portrait: StoredPortrait) -> None:
    with pytest.raises(ValueError, match=r"behaviour|features|known"):
        CODEC.encode(portrait)


# Few moments and items, so that ties and repeats are common.
MOMENT = st.integers(0, 5).map(lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
CLOSE = st.builds(Behaviour, st.sampled_from("abcd"), st.sampled_from(ACTIONS.behaviours), MOMENT)
PARTS = st.lists(st.lists(CLOSE, max_size=8), min_size=1, max_size=4)


def add(stored: StoredPortrait | None, part: list[Behaviour], limit: int) -> StoredPortrait:
    known = {b.item_id: features_of(b.item_id) for b in part if b.item_id != "d"}
    dimensions = Dimensions(experts=("a", "b", "c"), expert_dim=SHAPE[1], history=limit)
    manifest = Manifest.model_construct(
        dimensions=dimensions,
        behaviours=ACTIONS.behaviours,
        preprocessing=Preprocessing.model_construct(one_slot=False),
    )
    return merged(stored, part, known, manifest)


@given(PARTS, st.randoms(use_true_random=False), st.integers(1, 6))
def test_merging_needs_no_order_and_bears_repeats(parts: list[list[Behaviour]], random, limit: int) -> None:  # type: ignore[no-untyped-def]
    stored = None
    for part in parts:
        stored = add(stored, part, limit)
    assert stored is not None
    shuffled = parts * 2
    random.shuffle(shuffled)
    again = None
    for part in shuffled:
        again = add(again, random.sample(part, len(part)), limit)
    assert again is not None
    assert list(again.behaviours) == list(stored.behaviours)
    assert set(again.known) == set(stored.known)
    everything = {b for part in parts for b in part}
    assert len(stored.behaviours) == min(limit, len(everything))
    wanted = recent(list(everything), limit, ACTIONS.behaviours)
    assert [b.ts for b in stored.behaviours] == [b.ts for b in wanted]
    for item_id, row in zip(stored.known, stored.features, strict=True):
        assert np.array_equal(row, features_of(item_id))
    assert "d" not in stored.known, "nobody knows its features; it is kept by name"


def test_a_value_of_more_than_a_portrait_holds_is_no_value() -> None:
    nothing = np.zeros((0, *SHAPE), np.float16)
    most = [Behaviour("a" * 512, "click")] * 1024
    portrait = CODEC.decode(CODEC.encode(StoredPortrait(most, [], nothing)))
    assert portrait is not None
    assert portrait.behaviours == most
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codec, "MOST_BEHAVIOURS", 60_000)
        patched.setattr(codec, "MOST_ID_BYTES", 60_000)
        many = CODEC.encode(StoredPortrait([Behaviour("a", "click")] * 60_000, [], nothing))
        long = CODEC.encode(StoredPortrait([Behaviour("a" * 60_000, "click")], [], nothing))
    assert CODEC.decode(many) is None
    assert CODEC.decode(long) is None
