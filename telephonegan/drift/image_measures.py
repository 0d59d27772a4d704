"""How similar two pictures are, image → image: SSIM for looks, the cosine of deep features for content.

A photograph should not differ from a painting by its resolution alone, so SSIM compares all pictures at 64 × 64 pixels,
and Lite2 at the judge's picture size.
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

    1: equal; about 0: nothing in common; below 0: inverted structure. Gaussian windows of sigma 1.5, as published. It
    compares looks, not content: the same dog one step aside scores low. The measure is symmetric.
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
    """Cosine of the pooled EfficientNet-Lite2 features of N pairs of pictures: (N,) in [0, 1], 1 for equal pictures.

    Features are not negative and many are common to all pictures, so unrelated pictures score well above 0. Compare
    values with chance, that is unrelated chains, and with the other references in `references`. The shipped generators
    were not trained against Lite2. These are the features of FD-lite2, see `observed`. The measure is symmetric. Needs
    the extra `judge`. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018.

    >>> lite2_cosine([Image.new("RGB", (8, 8))], [Image.new("RGB", (8, 8))]).round(6).tolist()  # doctest: +SKIP
    [1.0]
    """
    features = observed([*first, *second], Matcher.load(judge, device)).lite2.numpy()
    return cosines(features[: len(first)], features[len(first) :])


def observed(pictures: Sequence[Image.Image], judge: Matcher) -> Observed:
    """The judge's codes and the Lite2 features of pictures, computed in one pass.

    Pictures are resized to the judge's picture size and processed in batches of at most 32.
    """
    from telephonegan.evaluation.generators import Observer

    starts = range(0, len(pictures), BATCH)
    return Observer(judge, pixels=judge.picture_size)(
        to_tensor(list(pictures[i : i + BATCH]), judge.picture_size) for i in starts
    )


def _grey(picture: Image.Image) -> np.ndarray:
    grey = as_image(picture).convert("L")
    return np.asarray(grey.resize((SSIM_SIZE, SSIM_SIZE), Image.Resampling.BICUBIC))
