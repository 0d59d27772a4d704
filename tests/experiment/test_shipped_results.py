"""The shipped 12,000 rounds: their summaries say what the lines say, and README repeats what the summaries say."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from telephonegan.drift import Repetition, survival
from telephonegan.drift.diversity import caption_diversity
from telephonegan.drift.words import content_words
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.summary import read_summary

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "notebooks" / "results"
POLICIES = ("fresh", "fixed")


@pytest.fixture(scope="module", params=POLICIES)
def shipped(request):
    """The captions of every game, its tracks, and the summary."""
    folder = RESULTS / request.param
    tracks = Experiment.open(folder).tracks()
    return [[turn.words for turn in track.turns] for track in tracks], tracks, read_summary(folder)


def test_there_are_twelve_thousand_rounds(shipped):
    said, tracks, _ = shipped
    assert (len(said), {len(each) for each in said}, len({track.source for track in tracks})) == (600, {11}, 200)


def test_with_the_same_noise_a_caption_that_comes_back_is_followed_as_before(shipped):
    said, _, summary = shipped
    if not summary["repetition"]["same_noise"]:
        pytest.skip("the noise is new in every round")
    for captions in said:
        followers = dict(pairwise(captions))
        assert all(followers[a] == b for a, b in pairwise(captions))


def test_repetitions_and_cycles_are_counted_once(shipped):
    said, _, summary = shipped
    told = summary["repetition"]
    twice = [next((t for t in range(1, 11) if captions[t] == captions[t - 1]), None) for captions in said]
    assert told["repeat_at_end"] == sum(captions[10] == captions[9] for captions in said)
    assert told["repeat_before_last"] == sum(t is not None and t < 10 for t in twice)
    assert told["left"] == sum(
        t is not None and set(captions[t:]) != {captions[t]} for t, captions in zip(twice, said, strict=True)
    )
    if told["same_noise"]:
        assert told["in_a_cycle"] == sum(len(set(captions)) < 11 for captions in said)
        periods = Counter(Repetition.of(captions, same_noise=True).period for captions in said)
        assert told["cycles"] == {str(p): n for p, n in sorted(periods.items(), key=str) if p}


def test_last_captions_are_counted_once(shipped):
    said, _, summary = shipped
    last = Counter(" ".join(captions[10]) for captions in said)
    assert summary["repetition"]["different_ends"] == len(last)
    for end in summary["ends"]:
        assert end["chains"] == last[end["caption"]]
        assert end["settled"] == sum({" ".join(words) for words in c[8:]} == {end["caption"]} for c in said)


def test_diversity_and_survival_are_those_of_the_lines(shipped):
    _, tracks, summary = shipped
    for told, found in zip(summary["diversity"], caption_diversity(tracks), strict=True):
        assert told["unique_per_seed"] == pytest.approx(found.unique_per_seed, abs=1e-6)
        assert told["chao_shen"] == pytest.approx(found.chao_shen, abs=1e-5)
    shares = survival(tracks, lambda word: "all" if content_words([word]) else None)["all"].values
    assert summary["survival"]["all"]["share"]["value"] == pytest.approx(shares.mean(axis=0), abs=1e-6)


def test_the_table_holds_what_the_curves_are_means_of(shipped):
    _, _, summary = shipped
    policy = "fixed" if summary["repetition"]["same_noise"] else "fresh"
    with (RESULTS / policy / "similarities.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6000
    for name, told in summary["measures"].items():
        by_round = [[float(row[name]) for row in rows if row["round"] == str(t) and row[name]] for t in range(1, 11)]
        assert [np.mean(values) for values in by_round] == pytest.approx(told["start"]["value"], abs=1e-4)


def test_no_curve_lies_above_the_same(shipped):
    _, _, summary = shipped
    scaled = [told["above_chance"] for told in summary["measures"].values() if told["above_chance"]]
    assert scaled and max(max(told["high"]) for told in scaled) <= 1


def test_readme_repeats_the_summaries():
    fresh, fixed = (read_summary(RESULTS / policy) for policy in POLICIES)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = " ".join(text.partition("### What 12,000 rounds say")[2].partition("\n## ")[0].split())

    def interval(told, place=None, digits=2):
        low, high = (told[end] if place is None else told[end][place] for end in ("low", "high"))
        return f"[{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")

    ends, law = fresh["ends"][0], fixed["measures"]["semantic_cosine"]["half_life"]
    power = fresh["measures"]["semantic_cosine"]["half_life"]
    expected = [
        f"{ends['chains']} of 600 games are at “{ends['caption']}” in round 10, {ends['settled']} of them since",
        f"{fixed['repetition']['in_a_cycle']} of the 600 games",
        f"{fresh['repetition']['repeat_at_end']} of the 600 games",
        f"{fresh['repetition']['left']} of {fresh['repetition']['repeat_before_last']}",
        f"{law['rounds']['value']:.2f} rounds {interval(law['rounds'])}",
        f"{law['plateau']['value']:.2f} {interval(law['plateau'])} above chance",
        f"t^−{power['exponent']['value']:.2f} {interval(power['exponent'])}",
        f"{power['agree']:,} of 2,000 resamples",
        *(
            f"{fresh['survival'][kind]['excess']['value'][-1]:.2f} {interval(fresh['survival'][kind]['excess'], -1)}"
            for kind in ("object", "action", "colour", "number")
        ),
        *(f"{fresh['survival'][kind]['sources']} photographs" for kind in ("object", "number")),
    ]
    assert [text for text in expected if text not in section] == []


def test_readme_repeats_the_drift_lab():
    fresh, fixed = (json.loads((RESULTS / policy / "lab.json").read_text()) for policy in POLICIES)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = " ".join(text.partition("\n## Drift lab")[2].partition("\n## ")[0].split())
    bits, same = (each["bits"]["sentences"] for each in (fresh, fixed))
    first, one, last = (f"{bits['bits']['value'][t]:.2f}" for t in (0, 1, 10))
    top = [f"{100 * bits['top1']['value'][t]:.0f}" for t in (0, 1, 10)]
    near = fresh["truth"]["near"]["value"]
    words = {name: f"{told['value'][1]:.0f}" for name, told in fresh["diversity"]["numbers"].items()}
    colour = fresh["model"]["names"].index("colour rather than object")
    expected = [
        f"of the {bits['most']:.2f} bits that tell 200 photographs apart, first captions hold {first}",
        f"those of round 1 {one}, and those of round 10 {last} with new noise and {same['bits']['value'][10]:.2f} with",
        f"comes first in {top[0]}, {top[1]} and {top[2]} %",
        f"odds of a colour are {fresh['model']['odds']['value'][colour]:.2f} times",
        f"cosine of {fresh['truth']['people']['value']:.2f}",
        f"{near[0]:.2f} in round 0, and {near[-1]:.2f} in round 10",
        f"as {words['people']} equally common ones would, first captions {words['round 0']}, round 10 "
        f"{words['round 10']}",
    ]
    assert [text for text in expected if text not in section] == []
