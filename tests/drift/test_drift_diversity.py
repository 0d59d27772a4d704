import numpy as np
import pytest
from PIL import Image

from telephonegan.drift.diversity import (
    caption_diversity,
    caption_pairs,
    chao_shen_entropy,
    collision,
    picture_pairs,
    plug_in_entropy,
    same_caption,
)
from telephonegan.drift.statistics import Resamples
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


def mean_distances(pairs):
    """Over pairs of different sources, by round."""
    return Resamples([str(i) for i in range(len(pairs))], 1).pair_means(pairs)[0].tolist()


def test_chains_that_collapse_are_seen_to():
    chains = tracks(["a dog", "a man"], ["a cat", "a man"], ["red", "a man"])
    first, last = caption_diversity(chains)
    assert (first.round, first.chains, first.per_seed, first.unique) == (0, 3, 3, 3)
    assert first.share == pytest.approx(1 / 3)
    assert (last.unique, last.share, last.commonest) == (1, 1, ("a", "man"))
    assert mean_distances(caption_pairs(chains, unequal, rounds=[0, 1])) == [1, 0]
    assert mean_distances(caption_pairs(chains, same_caption, rounds=[0, 1])) == [0, 1]


def test_distance_is_the_mean_over_pairs():
    length = {("a",): 0.0, ("b",): 1.0, ("c",): 4.0}
    pairs = caption_pairs(
        tracks(["a"], ["a"], ["b"], ["c"]),
        lambda captions, others: np.abs([length[x] - length[y] for x, y in zip(captions, others, strict=True)]),
        rounds=[0],
    )
    assert mean_distances(pairs) == [pytest.approx((0 + 1 + 4 + 1 + 4 + 3) / 6)]


def test_rounds_are_compared_by_the_chains_of_one_seed():
    def chain(source, seed, *captions):
        return Track(f"{source}{seed}", source, seed, tuple(Turn(t, (text,)) for t, text in enumerate(captions)))

    first, last = caption_diversity(
        [chain("s", 0, "a", "x"), chain("s", 1, "a", "y"), chain("t", 0, "b", "x"), chain("t", 1, "b", "y")]
    )
    assert (first.unique, first.per_seed, first.unique_per_seed, first.effective) == (2, 2, 2, pytest.approx(2))
    assert (last.unique, last.per_seed, last.unique_per_seed, last.effective) == (2, 2, 1, pytest.approx(1))


def test_a_rare_caption_adds_less_than_one_to_the_effective_number():
    (found,) = caption_diversity(tracks(["a"], ["a"], ["a"], ["b"]))
    assert found.effective == pytest.approx(4 / 27**0.25)


def test_chains_of_one_source_are_averaged_and_not_compared():
    pairs = caption_pairs(tracks(["a"], ["b"], ["a"], sources=["s", "s", "t"]), unequal, rounds=[0])
    assert mean_distances(pairs) == [0.5]  # of a–a and b–a
    (alone,) = mean_distances(caption_pairs(tracks(["a"], ["b"], sources=["s", "s"]), unequal, rounds=[0]))
    assert np.isnan(alone)


def test_chains_of_other_lengths_count_while_they_last():
    chains = tracks(["a", "b", "c"], ["a"], ["a", "c"])
    assert [each.chains for each in caption_diversity(chains)] == [3, 2, 1]
    pairs = caption_pairs(chains, unequal, rounds=[0, 1, 2])
    assert mean_distances(pairs) == [0, 1, pytest.approx(np.nan, nan_ok=True)]


def test_of_equally_common_captions_the_first_by_alphabet_is_told():
    assert caption_diversity(tracks(["b"], ["a"]))[0].commonest == ("a",)


# Two hundred draws from laws of known diversity: what the sample itself says, and what estimates make of it.
LAWS = {
    "uniform over 1000": np.full(1000, 1 / 1000),
    "Zipf's over 2000": 1 / np.arange(1, 2001) / (1 / np.arange(1, 2001)).sum(),
    "uniform over 20": np.full(20, 1 / 20),
}


def drawn(law, samples=300, size=200):
    counts = np.random.default_rng(0).multinomial(size, law, size=samples)
    return [row[row > 0].tolist() for row in counts]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_collisions_are_unbiased(law):
    assert np.mean([collision(counts) for counts in drawn(law)]) == pytest.approx((law**2).sum(), rel=0.05)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_estimate_of_chao_and_shen_is_nearer_the_entropy_than_the_sample(law):
    truth = -(law * np.log(law)).sum()
    samples = drawn(law)
    plain, estimated = (np.mean([entropy(c) for c in samples]) for entropy in (plug_in_entropy, chao_shen_entropy))
    assert plain < truth and abs(estimated - truth) < truth - plain


def test_the_estimate_of_chao_and_shen_finds_a_thousand_captions_in_two_hundred_draws():
    samples = drawn(LAWS["uniform over 1000"])
    assert np.mean([chao_shen_entropy(counts) for counts in samples]) == pytest.approx(np.log(1000), abs=0.1)


def test_the_effective_number_of_a_sample_saturates_where_the_estimates_do_not():
    (counts, *_) = drawn(np.full(20_000, 1 / 20_000))
    assert np.exp(plug_in_entropy(counts)) <= 200
    assert np.exp(chao_shen_entropy(counts)) > 2000


def test_known_counts_have_known_entropies_and_collisions():
    assert plug_in_entropy([1, 1, 2]) == pytest.approx(1.5 * np.log(2))
    assert collision([1, 1, 2]) == pytest.approx(2 / 12) and collision([1] * 9) == 0 and collision([4]) == 1
    share = 0.5 * 1 / 4  # coverage 1 - 2/4
    terms = [2 * share * np.log(share) / (1 - (1 - share) ** 4), 0.25 * np.log(0.25) / (1 - 0.75**4)]
    assert chao_shen_entropy([1, 1, 2]) == pytest.approx(-sum(terms))
    assert chao_shen_entropy([5]) == 0


def test_of_captions_met_once_nothing_is_known():
    assert np.isnan(chao_shen_entropy([1, 1, 1])) and np.isnan(collision([1]))


def test_collisions_of_one_chain_for_each_source_are_those_of_the_captions():
    chains = tracks(*([text] for text in "aaabbc"))
    (share,) = mean_distances(caption_pairs(chains, same_caption, rounds=[0]))
    assert share == pytest.approx(collision([3, 2, 1]))


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
    pairs = picture_pairs(painted([1, 4, 7], [2, 4, 7], [3, 5, 7]), one_hot, rounds=[0, 1, 2])
    assert mean_distances(pairs) == [1, pytest.approx(2 / 3), pytest.approx(0)]  # in round 1 two of three pairs differ


def test_pictures_of_one_source_are_not_compared():
    pairs = picture_pairs(painted([1], [2], [1], sources=["s", "s", "t"]), one_hot, rounds=[0])
    assert mean_distances(pairs) == [pytest.approx(0.5)]


def test_picture_distance_equals_the_mean_over_all_pairs_of_chains_of_other_sources():
    features = np.random.default_rng(0).normal(1, 2, (9, 4))
    chains = painted(*[[i] for i in range(1, 7)], sources=list("aabbcc"))
    pairs = picture_pairs(chains, lambda pictures: features[[picture.width for picture in pictures]], rounds=[0])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    rows = [(i + 1, "aabbcc"[i]) for i in range(6)]
    apart = [1 - unit[i] @ unit[j] for i, a in rows for j, b in rows if a != b]
    assert mean_distances(pairs) == [pytest.approx(np.mean(apart))]


def test_rounds_without_pictures_are_unknown():
    found = mean_distances(picture_pairs(painted([0, 1, 0, 3], [0, 2, 0, 0]), one_hot, rounds=range(4)))
    assert found[1] == 1 and np.isnan([found[0], found[2], found[3]]).all()


@pytest.mark.parametrize("features", [np.zeros((2, 3)), np.ones((3, 3))])
def test_features_must_be_one_for_each_picture_and_not_zero(features):
    with pytest.raises(DataError, match="one row for each"):
        picture_pairs(painted([1], [2]), lambda pictures: features, rounds=[0])
