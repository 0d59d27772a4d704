"""Knobs for generators that were never given any: axes in latent space, and walks along them.

>>> from telephonegan.generation import Generator
>>> from telephonegan.latent import AxisSet, Walk, find_axes
>>> axes = find_axes("faces", extractor="faces", n=20_000)  # doctest: +SKIP
>>> walk = Walk(Generator.load("faces"), axes, seed=3)  # doctest: +SKIP
>>> walk.lock("sex"); walk.set("age", 2.0); walk.picture()  # doctest: +SKIP
"""

from telephonegan.latent.axes import AxisSet, Measured, disentangle, gram_schmidt, normalise
from telephonegan.latent.features import MEASURES, Extractor, Features, read_scores, train_extractor
from telephonegan.latent.invert import Inversion, invert
from telephonegan.latent.measure import features_of, measure
from telephonegan.latent.search import find_axes, ganspace, sefa
from telephonegan.latent.walk import State, Walk

__all__ = [
    "MEASURES",
    "AxisSet",
    "Extractor",
    "Features",
    "Inversion",
    "Measured",
    "State",
    "Walk",
    "disentangle",
    "features_of",
    "find_axes",
    "ganspace",
    "gram_schmidt",
    "invert",
    "measure",
    "normalise",
    "read_scores",
    "sefa",
    "train_extractor",
]
