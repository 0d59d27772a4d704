from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephonegan.drift import Repetition
from telephonegan.drift.repetition import final_attractor, final_period, first_fixed_point


@pytest.mark.parametrize(
    ("captions", "first", "period", "attractor"),
    [
        ("", None, None, ()),
        ("a", None, None, ("a",)),
        ("abc", None, None, ("c",)),
        ("abb", 2, 1, ("b",)),
        ("aaaa", 1, 1, ("a",)),
        ("xabab", None, 2, ("a", "b")),
        ("xbaba", None, 2, ("a", "b")),
        ("aba", None, None, ("a",)),
        ("xcabcab", None, 3, ("a", "b", "c")),
        ("aabc", 1, None, ("c",)),
        ("xaabaab", 2, 3, ("a", "a", "b")),
    ],
)
def test_known_captions_have_their_fixed_point_period_and_attractor(captions, first, period, attractor):
    assert Repetition.of(list(captions)) == Repetition(first, period, attractor)


@given(st.lists(st.integers(0, 3), max_size=5), st.permutations(range(10, 16)), st.integers(1, 6), st.integers(2, 4))
def test_a_cycle_of_distinct_captions_has_its_length_as_period(prefix, cycle, period, laps):
    lap = cycle[:period]
    assert final_period(prefix + lap * laps) == period
    assert final_attractor(prefix + lap * laps) == final_attractor((lap[1:] + lap[:1]) * 2)


def test_captions_may_be_tuples_of_words():
    captions = [("a", "dog"), ("a", "cat"), ("a", "cat")]
    assert (first_fixed_point(captions), final_attractor(captions)) == (2, (("a", "cat"),))
