"""Conversion of summaries written by older versions into the current format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telephonegan.drift.decay import HalfLife

FORMAT, OLD_FORMAT = 2, 1
_OUTDATED = "made by an older version, which did not check half-lives; summarise again"
OLD_REPAINTING = "caption and another painting of it"
_OLD_REFERENCES = {
    ("text→text", "other captions"): "captioner against person",
    ("image→text", "other captions"): "photograph and a person's caption",
    ("image→image", "other paintings"): "two paintings of one caption",
    ("text→image", "other paintings"): OLD_REPAINTING,
}


def upgraded(old: dict[str, Any]) -> dict[str, Any]:
    """A summary of format 1 as one of format 2; missing values are null."""
    rounds = [each["round"] for each in old["diversity"]]
    pictures = {each["round"]: each["distance"] for each in old["picture_diversity"] or []}
    ends = old["repetition"]
    return {
        **{name: old[name] for name in ("experiment", "resamples", "seed") if name in old},
        "format": FORMAT,
        "measures": {name: _upgraded_measure(told) for name, told in old["measures"].items()},
        "survival": {
            kind: {**told, "sources": None, "chance": None, "excess": None} for kind, told in old["survival"].items()
        },
        "survival_of_lemmas": {},
        "diversity": [{**each, "per_seed": None, "chao_shen": None} for each in old["diversity"]],
        "distances": {
            "rounds": rounds,
            "same_caption": None,
            "captions": _without_interval([each["distance"] for each in old["diversity"]]),
            "captions_change": None,
            "pictures": _without_interval([pictures.get(number) for number in rounds]) if pictures else None,
            "pictures_change": None,
        },
        "repetition": {
            "chains": ends["chains"],
            "repeat": ends["with_a_fixed_point"],
            "different_ends": ends["different_ends"],
            **dict.fromkeys(("same_noise", "repeat_before_last", "left", "repeat_at_end", "repeated_rounds")),
            **dict.fromkeys(("repeated_rounds_left", "cycles", "in_a_cycle")),
        },
        "ends": [
            {"caption": " → ".join(each["captions"]), "chains": each["chains"], "settled": None}
            for each in old["attractors"]
        ],
        "chains": [
            {**each, "first_repetition": each["first_fixed_point"], "left": None, "period": None}
            for each in old["chains"]
        ],
    }


def _upgraded_measure(old: dict[str, Any]) -> dict[str, Any]:
    kept = ("direction", "lowest", "highest", "rounds", "start", "previous", "gc_at_t", "mean_similarity")
    reference = _OLD_REFERENCES.get((old["direction"], old["ceiling_of"]))
    return {
        **{name: old[name] for name in kept},
        "chance": None if old["floor"] is None else _without_interval(old["floor"]),
        "pairs": None,
        "references": {
            reference: {"value": old["ceiling"], "low": None, "high": None, "sources": None, "difference": None}
        }
        if reference
        else {},
        "above_chance": None,
        "half_life": {**vars(HalfLife(None, None, reason=_OUTDATED)), "laws": [], "windows": []},
    }


def _without_interval(values: Sequence[float | None]) -> dict[str, Any]:
    return {"value": list(values), "low": [None] * len(values), "high": [None] * len(values)}
