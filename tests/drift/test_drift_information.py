import numpy as np
import pytest

from telephonegan.drift.information import bits_left
from telephonegan.errors import DataError
from tests.planted import tracks


def games(keep: float, sources: int = 64, seed: int = 0):
    """Captions that hold the name of their photograph with this probability, and that of a random one otherwise."""
    rng = np.random.default_rng(seed)
    return tracks(
        [
            [[f"w{i}"], [f"w{i}" if rng.random() < keep else f"w{rng.integers(sources)}"]]
            for i in range(sources)
            for _ in range(10)
        ],
        seeds=10,
    )


def test_first_captions_that_all_differ_hold_every_bit_there_is():
    found = bits_left(games(1.0), resamples=50)
    assert found.most == 6
    assert found.bits.value == pytest.approx([6, 6], abs=0.01)
    assert found.top1.value == pytest.approx([1, 1])


def test_captions_of_nothing_hold_no_bits():
    found = bits_left(games(0.0), resamples=200)
    assert found.bits.value[1] == pytest.approx(0, abs=0.05)
    assert found.top1.value[1] == pytest.approx(1 / 64, abs=0.02)


def test_a_planted_channel_is_measured_and_never_overstated():
    channel = games(0.5)
    right = np.mean([track.turns[0].words == track.turns[1].words for track in channel])
    wrong = (1 - right) / 63
    capacity = 6 + right * np.log2(right) + 63 * wrong * np.log2(wrong)
    found = bits_left(channel, resamples=200)
    assert capacity - 0.1 < found.bits.value[1] < capacity + 0.01
    assert found.top1.value[1] == pytest.approx(right)


def test_photographs_that_begin_alike_share_their_bits():
    found = bits_left(tracks([[[word]] for word in ("dog", "dog", "cat", "cat")]), resamples=10)
    assert found.bits.value == pytest.approx([1]) and found.top1.value == pytest.approx([0.5])


def test_too_few_photographs_are_refused_with_the_number_needed():
    with pytest.raises(DataError, match="needs 4 sources or more; the chains given have 2"):
        bits_left(tracks([[["dog"]], [["cat"]]]))
