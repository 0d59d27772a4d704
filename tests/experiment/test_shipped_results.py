"""The shipped rounds: their summaries say what the lines say, and README repeats what the summaries say."""

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
from telephonegan.experiment.lab_comparison import compared
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.study import SHOWN_AGAIN, dose_response
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


def lab_of(run: str) -> dict:
    return json.loads((RESULTS / "lab" / run / "lab.json").read_text(encoding="utf-8"))


def section_on_the_lab() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition("\n## Drift lab")[2].partition("\n## ")[0]


def test_readme_has_the_table_that_drift_compare_prints():
    assert compared([RESULTS / "lab"]) in section_on_the_lab()


def test_readme_repeats_the_analyses_of_the_drift_lab():
    fresh, section = lab_of("flickr8k-fresh"), " ".join(section_on_the_lab().split())
    bits, truth, model = fresh["bits"]["sentences"], fresh["truth"], fresh["model"]
    primary = ", ".join(f"{bits['bits'][end][40]:.2f}" for end in ("low", "high"))
    words = {name: f"{told['value'][1]:.0f}" for name, told in fresh["diversity"]["numbers"].items()}
    odds = {name: model["odds"]["value"][place] for place, name in enumerate(model["names"])}
    pairs = ("flickr8k", "flowers", "birds", "fashion")
    left = {
        noise: [lab_of(f"{pair}-{noise}")["bits"]["sentences"]["bits"]["value"][40] for pair in pairs]
        for noise in ("fixed", "fresh")
    }
    one, another = (lab_of(run)["laws"]["sentences"] for run in ("flickr8k-fresh", "fashion-fresh"))
    foretold = [
        next(law for law in race["laws"] if law["name"] == "exponential")["windows"][0] for race in (one, another)
    ]
    expected = [
        f"{bits['bits']['value'][40]:.2f} bits [{primary}] are left of the {bits['most']:.2f}",
        "hold {:.2f} bits (`flickr8k`), {:.2f} (`flowers`), {:.2f} (`birds`) and {:.2f}".format(*left["fixed"]),
        "with new noise {:.2f}, {:.2f}, {:.2f} and {:.2f}".format(*left["fresh"]),
        f"{foretold[0]:.3f} against {one['observed'][-1]:.3f}",
        f"{foretold[1]:.3f} against {another['observed'][-1]:.3f}",
        f"as many words as {words['people']} equally common ones would, first captions {words['round 0']}, round 20 "
        f"{words['round 20']}, round 40 {words['round 40']}",
        f"{odds['twice as frequent']:.2f} times the odds",
        f"a colour has {odds['colour rather than object']:.2f} times",
        f"cosine of {truth['people']['value']:.2f}",
        f"{truth['near']['value'][0]:.2f} in round 0, {truth['near']['value'][10]:.2f} in round 10 and "
        f"{truth['near']['value'][40]:.2f} in round 40",
        f"Games of another photograph are at {lab_of('flowers-fresh')['truth']['by_chance']['value'][40]:.2f}",
        "p = " + ", ".join(f"{test['p']:.2f}" for test in fresh["memory"]["captions"][1:3]),
    ]
    assert [text for text in expected if text not in section] == []


def test_readme_repeats_the_prior_test():
    section = " ".join(section_on_the_lab().split())
    prior = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["prior"]
        for path in (RESULTS / "prior").glob("*/lab.json")
    }

    def change(run: str) -> str:
        value, low, high = (prior[run]["change"][end] for end in ("value", "low", "high"))
        return f"{value:.3f}{{}} [{low:.3f}, {high:.3f}]".replace("-", "−")

    one = prior["sampled-1.0"]
    expected = [
        change("sampled-1.0").format(" bits"),
        change("beam").format(" bits"),
        change("sampled-0.5").format(""),
        change("sampled-1.5").format(""),
        f"begin at {one['distance']['value'][0]:.3f} and end at {one['distance']['value'][-1]:.3f}",
        f"itself have {one['floor']['value']:.3f}",
    ]
    assert [text for text in expected if text not in section] == []
    assert {run: told["verdict"] for run, told in prior.items()} == {
        "beam": "away from the prior",
        "sampled-0.5": "away from the prior",
        "sampled-1.0": "neither",
        "sampled-1.5": "away from the prior",
    }


def test_readme_repeats_the_doses():
    section = " ".join(section_on_the_lab().split())
    found = {(each.setting, each.value): each for each in dose_response(RESULTS / "doses") if each.run == "flickr8k"}
    plain, sixteen = found["as planned", ""], found["candidates", 16]

    def kept(dose) -> str:
        value, low, high = (100 * number for number in (dose.kept[1].value, dose.kept[1].low, dose.kept[1].high))
        return f"{value:.0f} % [{low:.0f}, {high:.0f}]"

    change = sixteen.change
    again, once = (100 * each.mean.value for each in (found[SHOWN_AGAIN, 5], plain))
    expected = [
        f"of `flickr8k` is {change.value:.2f} [{change.low:.2f}, {change.high:.2f}]",
        f"from {kept(plain)} to {kept(sixteen)}",
        f"(truncation 0) {kept(found['truncation', 0.0])} are kept",
        f"temperature 1.0 {kept(found['temperature', 1.0])}",
        f"mean over rounds of `flickr8k` is {again:.0f} % instead of {once:.0f} %",
    ]
    assert [text for text in expected if text not in section] == []
    for width in (1, 10):
        assert found["beam_width", width].change.low < 0 < found["beam_width", width].change.high


def test_readme_counts_the_laws_that_win():
    won = Counter(lab_of(path.name)["laws"]["sentences"]["best"] for path in (RESULTS / "lab").iterdir())
    assert won == {"two exponentials": 2, "power law": 1, "exponential to a plateau": 1, None: 6}
    assert "two are won by two exponentials" in section_on_the_lab() and "six by none" in section_on_the_lab()


@pytest.mark.parametrize("pair", ["flickr8k", "flowers", "birds", "fashion", "birds-by-flickr8k"])
def test_with_the_same_noise_all_games_are_in_a_cycle_by_round_20(pair):
    for track in Experiment.open(RESULTS / "lab" / f"{pair}-fixed").tracks():
        assert len({turn.words for turn in track.turns[:21]}) < 21
