"""How alike two pictures are: SSIM for looks, cosine of deep features for content. Image → image.

A photograph must not differ from a painting by its resolution alone: SSIM compares all pictures at 64 × 64 pixels, and
Lite2 at the size at which the judge sees pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from telephonegan.drift.statistics import cosines
from telephonegan.images import as_image, to_tensor
from telephonegan.inference import BATCH
from telephonegan.matcher import Matcher

if TYPE_CHECKING:
    from telephonegan.evaluation.generators import Observed

SSIM_SIZE = 64
_PUBLISHED = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


def ssim(first: Sequence[Image.Image], second: Sequence[Image.Image]) -> np.ndarray:
    """Structural similarity of N pairs of pictures, in grey at 64 px: (N,) in [-1, 1].

    1: the same; about 0: nothing in common; below 0: the structure is inverted. Gaussian windows of sigma 1.5, as
    published. It tells looks, not content: the same dog one step aside scores low. The measure is symmetric.
    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.

    >>> picture = Image.radial_gradient("L")
    >>> ssim([picture], [picture]).tolist()
    [1.0]
    """
    from skimage.metrics import structural_similarity

    pairs = zip(map(_grey, first), map(_grey, second), strict=True)
    return np.array([structural_similarity(one, other, **_PUBLISHED) for one, other in pairs])


def lite2_cosine(
    first: Sequence[Image.Image], second: Sequence[Image.Image], *, judge: str = "judge/flickr8k", device: str = "cpu"
) -> np.ndarray:
    """Cosine of the pooled EfficientNet-Lite2 features of N pairs of pictures: (N,) in [0, 1], 1 the same.

    No feature is negative and many are common, so that unrelated pictures score above 0: read it between a floor
    and a ceiling. No generator here was trained against Lite2. These are the features of FD-lite2, see `observed`.
    The measure is symmetric. Needs the extra `judge`. Deep features for likeness: Zhang et al., "The Unreasonable
    Effectiveness of Deep Features as a Perceptual Metric", 2018.

    >>> lite2_cosine([Image.new("RGB", (8, 8))], [Image.new("RGB", (8, 8))]).round(6).tolist()  # doctest: +SKIP
    [1.0]
    """
    features = observed([*first, *second], Matcher.load(judge, device)).lite2.numpy()
    return cosines(features[: len(first)], features[len(first) :])


def observed(pictures: Sequence[Image.Image], judge: Matcher) -> Observed:
    """What the evaluation keeps of pictures, in one look through Lite2: the judge's codes and Lite2's features.

    Every picture is brought to the judge's picture size first; at most 32 are seen at a time.
    """
    from telephonegan.evaluation.generators import Observer

    starts = range(0, len(pictures), BATCH)
    return Observer(judge, pixels=judge.picture_size)(
        to_tensor(list(pictures[i : i + BATCH]), judge.picture_size) for i in starts
    )


def _grey(picture: Image.Image) -> np.ndarray:
    grey = as_image(picture).convert("L")
    return np.asarray(grey.resize((SSIM_SIZE, SSIM_SIZE), Image.Resampling.BICUBIC))
