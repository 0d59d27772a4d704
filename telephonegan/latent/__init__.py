"""Knobs for generators that were never given any: axes in latent space, walks along them, and plug & play sampling.

>>> from telephonegan.generation import Generator
>>> from telephonegan.latent import AxisSet, Walk, find_axes
>>> axes = find_axes("faces", extractor="faces", n=20_000)  # doctest: +SKIP
>>> walk = Walk(Generator.load("faces"), axes, seed=3)  # doctest: +SKIP
>>> walk.lock("sex"); walk.set("age", 2.0); walk.picture()  # doctest: +SKIP
>>> Sampler(CodeDecoder.load("photos"), image_class("junco")).run([0]).last().image  # doctest: +SKIP
"""

from telephonegan.latent.axes import AxisSet, Measured, disentangle, gram_schmidt, normalise
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.conditions import Condition, Region, Score, Unit, image_class
from telephonegan.latent.decoders import CodeDecoder, LatentDecoder
from telephonegan.latent.features import MEASURES, Extractor, Features, read_scores, train_extractor
from telephonegan.latent.guide import Guided, Guiding, guide
from telephonegan.latent.inpainting import Hole
from telephonegan.latent.invert import Inversion, invert
from telephonegan.latent.measure import features_of, measure
from telephonegan.latent.sampler import Frame, Sampler, SamplerSettings, Sampling
from telephonegan.latent.search import find_axes, ganspace, sefa
from telephonegan.latent.sweep import sweep
from telephonegan.latent.text_conditions import CaptionCondition, MatchCondition
from telephonegan.latent.walk import State, Walk

__all__ = [
    "MEASURES",
    "AxisSet",
    "CaptionCondition",
    "CodeDecoder",
    "Condition",
    "ConditionNetwork",
    "Extractor",
    "Features",
    "Frame",
    "Guided",
    "Guiding",
    "Hole",
    "Inversion",
    "LatentDecoder",
    "MatchCondition",
    "Measured",
    "Region",
    "Sampler",
    "SamplerSettings",
    "Sampling",
    "Score",
    "State",
    "Unit",
    "Walk",
    "disentangle",
    "features_of",
    "find_axes",
    "ganspace",
    "gram_schmidt",
    "guide",
    "image_class",
    "invert",
    "measure",
    "normalise",
    "read_scores",
    "sefa",
    "sweep",
    "train_extractor",
]
