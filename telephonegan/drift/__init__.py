"""How meaning drifts along a chain: similarities between rounds, words that survive, captions that repeat.

>>> from telephonegan.drift import Drift, Track, Turn
>>> track = Track("a", "a", 0, (Turn(0, ("red", "ball")), Turn(1, ("blue", "ball"))))
>>> Drift.of(track, ["content_f1"]).values("content_f1")
{1: 0.5}
"""

from telephonegan.drift.chain_drift import Drift, Repetition
from telephonegan.drift.decay import HalfLife, half_life
from telephonegan.drift.measures import MEASURES, Measure, Row, similarities
from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.tracks import Observers, Track, Turn, document_frequency
from telephonegan.drift.words import WORD_KINDS, Changes, chance_survival, content_words, kind_of, lemma, survival

__all__ = [
    "MEASURES",
    "WORD_KINDS",
    "Changes",
    "Drift",
    "Estimate",
    "HalfLife",
    "Measure",
    "Observers",
    "Repetition",
    "Resamples",
    "Row",
    "Track",
    "Turn",
    "chance_survival",
    "content_words",
    "document_frequency",
    "half_life",
    "kind_of",
    "lemma",
    "similarities",
    "survival",
]
