import numpy as np
import pytest
from PIL import Image

from telephonegan.drift.diversity import caption_diversity, mean_cosine_distance, picture_diversity
from telephonegan.drift.tracks import Track, Turn
from telephonegan.errors import DataError


def tracks(*captions, sources=None):
    """One chain for each list of captions, one caption for each round."""
    sources = sources or [f"s{i}" for i in range(len(captions))]
    return [
        Track(f"{i}", source, 0, tuple(Turn(t, tuple(text.split())) for t, text in enumerate(texts)))
        for i, (source, texts) in enumerate(zip(sources, captions, strict=True))
    ]


def unequal(captions, others):
    return np.array([float(a != b) for a, b in zip(captions, others, strict=True)])


def test_chains_that_collapse_are_seen_to():
    first, last = caption_diversity(tracks(["a dog", "a man"], ["a cat", "a man"], ["red", "a man"]), unequal)
    assert (first.round, first.chains, first.unique, first.distance, first.share) == (0, 3, 3, 1, pytest.approx(1 / 3))
    assert (last.unique, last.distance, last.share, last.commonest) == (1, 0, 1, ("a", "man"))


def test_distance_is_the_mean_over_pairs():
    length = {("a",): 0.0, ("b",): 1.0, ("c",): 4.0}
    (found,) = caption_diversity(
        tracks(["a"], ["a"], ["b"], ["c"]),
        lambda captions, others: np.abs([length[x] - length[y] for x, y in zip(captions, others, strict=True)]),
    )
    assert found.distance == pytest.approx((0 + 1 + 4 + 1 + 4 + 3) / 6)
    assert (found.unique, found.share, found.commonest) == (3, 0.5, ("a",))


def test_rounds_are_compared_by_the_chains_of_one_seed():
    def chain(source, seed, *captions):
        return Track(f"{source}{seed}", source, seed, tuple(Turn(t, (text,)) for t, text in enumerate(captions)))

    first, last = caption_diversity(
        [chain("s", 0, "a", "x"), chain("s", 1, "a", "y"), chain("t", 0, "b", "x"), chain("t", 1, "b", "y")], unequal
    )
    assert (first.unique, first.unique_per_seed, first.effective) == (2, 2, pytest.approx(2))
    assert (last.unique, last.unique_per_seed, last.effective) == (2, 1, pytest.approx(1))


def test_a_rare_caption_adds_less_than_one_to_the_effective_number():
    (found,) = caption_diversity(tracks(["a"], ["a"], ["a"], ["b"]), unequal)
    assert found.effective == pytest.approx(4 / 27**0.25)


def test_pairs_of_one_source_do_not_count():
    found = caption_diversity(tracks(["a"], ["b"], ["a"], sources=["s", "s", "t"]), unequal)[0]
    assert found.distance == pytest.approx(0.5)  # of a–a and b–a
    assert np.isnan(caption_diversity(tracks(["a"], ["b"], sources=["s", "s"]), unequal)[0].distance)


def test_chains_of_other_lengths_count_while_they_last():
    assert [each.chains for each in caption_diversity(tracks(["a", "b", "c"], ["a"]), unequal)] == [2, 1, 1]


def test_of_equally_common_captions_the_first_by_alphabet_is_told():
    assert caption_diversity(tracks(["b"], ["a"]), unequal)[0].commonest == ("a",)


def test_cosine_distance_equals_the_mean_over_all_pairs_of_other_sources():
    features, sources = np.random.default_rng(0).normal(1, 2, (7, 4)), list("aabbbcd")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(7) for j in range(i) if sources[i] != sources[j]]
    assert mean_cosine_distance(features, sources) == pytest.approx(np.mean(pairs))


def test_equal_features_are_not_apart_and_one_source_has_no_pairs():
    assert mean_cosine_distance(np.ones((4, 3)), list("abcd")) == pytest.approx(0)
    assert np.isnan(mean_cosine_distance(np.ones((2, 3)), ["a", "a"]))


@pytest.mark.parametrize("features", [np.zeros((2, 3)), np.ones((3, 3))])
def test_features_must_be_one_for_each_source_and_not_zero(features):
    with pytest.raises(DataError, match="one row for each"):
        mean_cosine_distance(features, ["a", "b"])


def painted(*widths, sources=None):
    """One chain for each list of widths, one picture as wide for each round; 0 is a round without one."""
    sources = sources or [f"s{i}" for i in range(len(widths))]
    return [
        Track(f"{i}", source, 0, tuple(Turn(t, (), Image.new("L", (w, 1)) if w else None) for t, w in enumerate(row)))
        for i, (source, row) in enumerate(zip(sources, widths, strict=True))
    ]


def one_hot(pictures):
    return np.eye(9)[[picture.width for picture in pictures]]


def test_pictures_that_become_one_motif_are_seen_to():
    first, second, last = picture_diversity(painted([1, 4, 7], [2, 4, 7], [3, 5, 7]), one_hot)
    assert (first.round, first.pictures, first.distance) == (0, 3, 1)
    assert second.distance == pytest.approx(2 / 3)  # two of three pairs differ
    assert (last.round, last.distance) == (2, pytest.approx(0))


def test_pictures_of_one_source_are_not_compared():
    found = picture_diversity(painted([1], [2], [1], sources=["s", "s", "t"]), one_hot)
    assert found[0].distance == pytest.approx(0.5)
    assert np.isnan(picture_diversity(painted([1], [2], sources=["s", "s"]), one_hot)[0].distance)


def test_rounds_without_pictures_are_left_out_and_those_that_are_there_counted():
    found = picture_diversity(painted([0, 1, 0, 3], [0, 2, 0, 0]), one_hot)
    assert [(each.round, each.pictures) for each in found] == [(1, 2), (3, 1)]
    assert picture_diversity(painted([0, 0]), one_hot) == []
