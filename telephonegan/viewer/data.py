"""Results as plain data for `viewer.js`: pictures as data URLs, attention maps packed into bytes.

Pictures are JPEG files of high quality, at most 512 pixels wide and high: a game of eight rounds takes 300 kB. The
exact ones are in the folder of a saved chain.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.drift import MEASURES, Changes, Drift, Track, content_words
from telephonegan.errors import SettingsError
from telephonegan.latent.sampler import Frame
from telephonegan.results import Caption, Picture, Round
from telephonegan.strips import scaled

WORD_MEASURES = ("tfidf_cosine", "content_f1")  # they need no model
LEGEND = "Dotted: games of two photographs. Dashed: two people about one."
# Of the measures in games of the models `flickr8k`, from notebooks/results/fresh/summary.json: what the start of one
# game and a round of another photograph's game have in common, and what two people say of one photograph.
REFERENCES = {
    "tfidf_cosine": {"chance": 0.037, "two people": 0.094},
    "content_f1": {"chance": 0.091, "two people": 0.326},
    "semantic_cosine": {"chance": 0.092, "two people": 0.579},
}
_DASHES = {"chance": "2 4", "two people": "8 5"}
_REFERENCE_MODEL = "flickr8k"
_CURVES = ("text→text", "image→image")  # comparisons of like with like
_MOST_CURVES = 4  # as many as can be distinguished in a small plot
_LARGEST = 512  # pixels
_FINEST = 32  # cells of a map, across and down


def games_data(
    chains: Sequence[Chain], *, drift: Drift | None = None, titles: Sequence[str] = (), follow: bool = False
) -> dict[str, Any]:
    """One game, or several side by side under one slider.

    The drift curves are those of `drift` (default: word measures only) that compare texts with texts or pictures with
    pictures. With `follow` the view goes on to a round that is added. Raises SettingsError for a chain without rounds.

    >>> games_data([chain])["games"][0]["rounds"][3]["text"]  # doctest: +SKIP
    'a man in a red coat'
    """
    if not all(len(chain) for chain in chains):
        raise SettingsError("This chain has no round yet, so there is nothing to show. Play it first.")
    headed = titles or [""] * len(chains)
    games = [_game(chain, drift, title) for chain, title in zip(chains, headed, strict=True)]
    return {"kind": "games", "games": games, "follow": follow}


def result_data(result: Caption | Picture, maps: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A caption or painted picture with named maps (L,H,W), one map per word, not negative."""
    words = list(result.words)
    meant = [*content_words(words), words[0]]
    return {
        "kind": "attention",
        "picture": picture_url(result.image),
        "alt": f"The picture, “{result.text}”",
        "text": result.text,
        "words": words,
        "chosen": words.index(meant[0]),
        "probabilities": list(getattr(result, "probabilities", ())),
        "maps": [{"name": name, **packed(seen, shares=isinstance(result, Picture))} for name, seen in maps.items()],
    }


def gallery_data(pictures: Sequence[Picture | Caption]) -> dict[str, Any]:
    """Pictures with their texts, each labelled by its seed or, if seeds do not tell them apart, by its number."""
    by_seed = tell_apart([shown.seed for shown in pictures])
    shown = [_labelled(each, i, len(pictures), by_seed=by_seed) for i, each in enumerate(pictures)]
    return {"kind": "gallery", "pictures": shown}


def tell_apart(seeds: Sequence[int | None]) -> bool:
    """Whether every picture has a seed and no two of them the same."""
    return None not in seeds and len({*seeds}) == len(seeds)


def frames_data(frames: Sequence[Frame], label: str) -> dict[str, Any]:
    """The pictures of one chain of a sampling, and the probability of each."""
    shown = [
        {
            "picture": picture_url(frame.image),
            "alt": f"The picture at step {frame.step}, {frame.label} {frame.probability:.0%}",
            "step": frame.step,
            "text": f"{frame.label} {frame.probability:.0%}"
            + (f" · looks like {frame.best[0]} {frame.best[1]:.0%}" if frame.best else ""),
        }
        for frame in frames
    ]
    curve = {"name": "probability", "values": [frame.probability for frame in frames], "references": []}
    return {"kind": "frames", "frames": shown, "curves": [curve], "legend": f"of {label}, by step"}


def described(round_: Round) -> str:
    """A round in words, as a description for people who cannot see the picture."""
    if round_.picture is None:
        return f"Round {round_.index}: the text that was given, “{round_.caption}”"
    origin = f"painted from “{round_.picture.text}”" if round_.picture.text else "the picture that was given"
    return f"Round {round_.index}: {origin}, captioned “{round_.caption}”"


def picture_url(image: Image.Image) -> str:
    """A picture as a data URL."""
    buffer = BytesIO()
    shown = scaled(image, _LARGEST) if max(image.size) > _LARGEST else image
    shown.convert("RGB").save(buffer, "JPEG", quality=92, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def packed(maps: np.ndarray, *, shares: bool = False) -> dict[str, Any]:
    """Maps (L,H,W) as bytes from 0 to 255 that stand for 0 to each map's peak, at most 32 × 32 cells.

    `shares` says that the words share every cell, so that a map is to be stretched from its lowest to its highest.

    >>> packed(np.array([[[0.0, 0.5]]]))["peaks"]
    [0.5]
    """
    small = _reduced(np.asarray(maps, dtype=np.float32))
    peaks = small.max(axis=(1, 2)).clip(min=1e-12)
    levels = np.round(255 * small / peaks[:, None, None]).astype(np.uint8)
    return {
        "height": small.shape[1],
        "width": small.shape[2],
        "peaks": [float(peak) for peak in peaks],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
        "shares": shares,
    }


def _game(chain: Chain, drift: Drift | None, title: str) -> dict[str, Any]:
    found = drift or Drift.of(Track.of(chain), WORD_MEASURES)
    start = chain[0].caption.words
    is_known = {model["name"] for model in chain.models.values()} == {_REFERENCE_MODEL}
    curves = _curves(found, len(chain), REFERENCES if is_known else {})
    return {
        "id": f"{id(chain)}",
        "title": title,
        "rounds": [_round(chain, index) for index in range(len(chain))],
        "content": sorted({word for caption in chain.captions for word in content_words(caption.words)}),
        "start": list(content_words(start)),
        "drift": curves,
        "legend": LEGEND if any(curve["references"] for curve in curves) else "1: the same. 0: nothing in common.",
    }


def _round(chain: Chain, index: int) -> dict[str, Any]:
    round_, words = chain[index], chain[index].caption.words
    step = Changes.of(chain[index - 1].caption.words if index else words, words)
    since_start = Changes.of(chain[0].caption.words, words)
    return {
        "text": round_.caption.text,
        "alt": described(round_),
        "words": list(words),
        "probabilities": list(round_.caption.probabilities),
        "picture": None if round_.picture is None else picture_url(round_.picture.image),
        "seen": _seen(round_.caption),
        "painted": _painted(round_.picture, chain[index - 1].caption.words if index else []),
        "kept": list(step.kept),
        "lost": list(step.lost),
        "gained": list(step.gained),
        "left": [[word, word in since_start.kept] for word in content_words(chain[0].caption.words)],
    }


def _seen(caption: Caption) -> dict[str, Any] | None:
    """The captioner's maps, if there is one for every word."""
    maps = caption.attention
    return None if maps is None or not caption.words or len(maps) != len(caption.words) else packed(maps)


def _painted(picture: Picture | None, words: Sequence[str]) -> dict[str, Any] | None:
    """The generator's maps, and for each word of the caption that was painted the place of its map, or -1."""
    if picture is None or picture.attention is None or not picture.words:
        return None
    places, place = [], 0
    for word in words:
        is_painted = place < len(picture.words) and picture.words[place] == word
        places.append(place if is_painted else -1)
        place += is_painted
    return {"places": places, **packed(picture.attention[: len(picture.words)], shares=True)}


def _curves(drift: Drift, rounds: int, references: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    found = {name: drift.values(name) for name, measure in MEASURES.items() if measure.direction in _CURVES}
    return [
        {
            "name": MEASURES[name].title,
            "values": [1.0, *(_finite(values.get(t)) for t in range(1, rounds))],
            "references": [
                {"name": what, "value": value, "dashes": _DASHES[what]}
                for what, value in references.get(name, {}).items()
            ],
        }
        for name, values in [*((name, values) for name, values in found.items() if values)][:_MOST_CURVES]
    ]


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _labelled(shown: Picture | Caption, index: int, count: int, *, by_seed: bool) -> dict[str, Any]:
    seed = "" if shown.seed is None else f"seed {shown.seed}"
    note = " · ".join(filter(None, (f"{index + 1} of {count}", seed, shown.model)))
    label = seed if by_seed else f"{index + 1}"
    return {"picture": picture_url(shown.image), "text": shown.text, "label": label, "note": note}


def _reduced(maps: np.ndarray) -> np.ndarray:
    """Means over equal blocks of cells, where there are more cells than needed."""
    height, width = (-(-size // _FINEST) for size in maps.shape[1:])
    if height == width == 1:
        return maps
    rows, columns = maps.shape[1] // height, maps.shape[2] // width
    cut = maps[:, : rows * height, : columns * width]
    return cut.reshape(len(maps), rows, height, columns, width).mean(axis=(2, 4))
