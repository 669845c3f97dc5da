"""Sets of ids in 12 bytes each."""

from __future__ import annotations

import numpy as np
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from tui.core.filling.ids import IdSet

hexadecimal = st.binary(min_size=12, max_size=12).map(bytes.hex)
# What almost looks like one of FiftyOne's ids, and must come back as it was.
almost = st.one_of(
    hexadecimal.map(str.upper),
    hexadecimal.map(lambda text: " " + text[1:]),
    hexadecimal.map(lambda text: text[:-1]),
    st.text(min_size=1, max_size=30),
    st.text(alphabet="0123456789abcdefABCDEF \t", min_size=24, max_size=24),
)
anything = st.lists(st.one_of(hexadecimal, almost), max_size=60)


@given(anything, anything)
def test_it_behaves_like_a_set_of_strings(given_ids: list[str], asked: list[str]) -> None:
    made = IdSet.collect([given_ids[:7], given_ids[7:]])
    expected = set(given_ids)
    assert len(made) == len(expected)
    assert made.rows == len(given_ids)
    questions = [*asked, *given_ids]
    assert made.contains(questions).tolist() == [one in expected for one in questions]
    assert {one for page in made.pages(size=5) for one in page} == expected
    positions = made.positions(sorted(expected))
    assert sorted(positions.tolist()) == list(range(len(expected)))
    assert made.at(positions.tolist()) == sorted(expected)
    other = IdSet.collect([asked])
    in_order = [one for page in other.pages() for one in page]
    assert made.places_of(other).tolist() == made.positions(in_order).tolist()


@given(anything, st.randoms(use_true_random=False))
def test_pages_of_a_choice_hold_just_that_choice(ids: list[str], random: object) -> None:
    made = IdSet.collect([ids])
    chosen = np.array([bool(random.getrandbits(1)) for _ in range(len(made))], dtype=bool)  # type: ignore[attr-defined]
    picked = [one for page in made.pages(chosen, size=3) for one in page]
    assert sorted(picked) == sorted(made.at(np.flatnonzero(chosen).tolist()))


def test_ids_that_end_in_zeros_are_told_apart() -> None:
    ids = ["00" * 12, "ab" + "00" * 11, "00" * 11 + "01", "ab" * 11 + "00"]
    made = IdSet.collect([ids])
    assert len(made) == 4
    assert not made.contains(["ab" * 12, "00" * 10 + "0100"]).any()
    assert sorted(one for page in made.pages() for one in page) == sorted(ids)


def test_an_empty_set_contains_nothing() -> None:
    made = IdSet.collect([])
    assert len(made) == 0 and not made.contains(["x", "00" * 12]).any()
    assert list(made.pages()) == []


def test_a_million_ids_take_twelve_bytes_each() -> None:
    import tracemalloc

    def pages() -> object:
        for start in range(0, 1_000_000, 10_000):
            yield [f"{number:024x}" for number in range(start, start + 10_000)]

    tracemalloc.start()
    made = IdSet.collect(pages())  # type: ignore[arg-type]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == 1_000_000
    assert kept < 15e6
    assert peak < 30e6


def test_object_ids_of_fiftyone_are_found() -> None:
    ids = [str(ObjectId()) for _ in range(100)]
    made = IdSet.collect([ids])
    assert made.contains(ids).all() and not made.contains([str(ObjectId())]).any()
