"""Self-critical training: a captioner trained on human captions learns to maximise its score against them.

Rennie et al., "Self-Critical Sequence Training for Image Captioning" (2017): captions are sampled, and become more
probable if their CIDEr-D beats a baseline, less probable otherwise. The baseline is the mean reward of the photograph's
other samples (Luo, "A Better Variant of Self-Critical Sequence Training", 2020), or the reward of its greedy caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError
from telephonegan.evaluation.captions import CiderD
from telephonegan.networks.decoding import Decoder, Markers, greedy, word_log_probabilities
from telephonegan.text import END
from telephonegan.training import distributed
from telephonegan.training.averaging import follow
from telephonegan.training.captioner import CaptionerRecipe, CaptioningSettings, over_processes, share_of_words
from telephonegan.training.devices import autocast

BASELINES = ("samples", "greedy")


@dataclass(frozen=True)
class SelfCriticalSettings(CaptioningSettings):
    """Settings of a self-critical run. Those of the network must equal those of the run it starts from."""

    samples: int = 5  # sampled captions per photograph
    baseline: str = "samples"
    temperature: float = 1.0
    likelihood_weight: float = 0.0  # of the cross-entropy of people's captions
    learning_rate: float = 5e-5
    average_decay: float = 0.998
    steps: int = 4000  # 300 steps see every photograph once

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.baseline not in BASELINES:
            raise SettingsError(f"baseline must be one of {', '.join(BASELINES)}; {self.baseline!r} was given.")
        least = 2 if self.baseline == "samples" else 1
        if self.samples < least:
            raise SettingsError(
                f"samples must be at least {least} with baseline={self.baseline}; {self.samples} was given."
            )
        if not self.temperature > 0:
            raise SettingsError(f"temperature must be above 0; {self.temperature} was given.")
        if not 0 <= self.average_decay < 1:
            raise SettingsError(f"average_decay must be at least 0 and below 1; {self.average_decay} was given.")


PRESETS = {
    "cider": SelfCriticalSettings(),
    "cider-gpu": replace(SelfCriticalSettings(), photos_per_batch=100, learning_rate=1e-4, steps=2000),
}


class SelfCriticalRecipe(CaptionerRecipe):
    """A self-critical run on a training and a development split, to be started with `warm_start`."""

    settings: SelfCriticalSettings

    def __init__(
        self,
        train: CaptionedPhotos,
        dev: CaptionedPhotos,
        settings: SelfCriticalSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(train, dev, settings, cache, device)
        # With the end marker as a word, a caption cut off after "a" misses n-grams.
        self.cider = CiderD([[[*caption, END] for caption in captions] for captions in train.captions])

    def step(self, step: int) -> dict[str, float]:
        settings = self.settings
        photos, cells = self.draw()
        draws = distributed.share(torch.rand(self.batch_size, settings.samples, settings.words_limit))
        self.model.eval()
        with torch.no_grad(), autocast(self.device, recurrent=self.model.head is not None):
            features = self.model.features(cells)
            captions = sample_captions(
                self.model.decoder, features, self.markers, draws.flatten(0, 1), temperature=settings.temperature
            )
            earned = self.rewards(captions, photos)
            advantages = earned - self.baselines(earned, features, photos)
        self.model.train()
        if self.model.head is not None:
            self.model.head.eval()  # the captions were drawn with the running statistics of its batch norm
        loss = self.policy_loss(cells, captions, advantages.flatten())
        if settings.likelihood_weight:
            loss = loss + settings.likelihood_weight * self.cross_entropy(cells, photos)
        self.update(loss, step)
        follow(self.average, self.model, settings.average_decay)
        numbers = {
            "loss": loss.item(),
            "reward": earned.mean().item(),
            "advantage": advantages.abs().mean().item(),
            "length": sum(map(len, captions)) / len(captions) - 1,  # with the end marker
        }
        return {name: over_processes(number) for name, number in numbers.items()}

    def rewards(self, captions: Sequence[list[int]], photos: list[int]) -> Tensor:
        """CIDEr-D, in [0, 10], of k consecutive captions for each of B photographs: (B,k)."""
        each = len(captions) // len(photos)
        words = [[self.vocabulary.words[i] for i in caption[1:]] for caption in captions]
        scores = self.cider.score(words, [photo for photo in photos for _ in range(each)])
        return torch.from_numpy(scores).float().view(len(photos), each)

    def baselines(self, earned: Tensor, features: Tensor, photos: list[int]) -> Tensor:
        """The baseline of each caption's reward (B,k): (B,k), or (B,1) if all captions of a photograph share it."""
        if self.settings.baseline == "samples":
            return (earned.sum(1, keepdim=True) - earned) / (earned.shape[1] - 1)
        start, end, limit = [self.markers.start], [self.markers.end], self.settings.words_limit
        said = greedy(self.model.decoder, features, self.markers, limit=limit)
        return self.rewards([start + s.ids + (end if len(s.ids) < limit else []) for s in said], photos)

    def policy_loss(self, cells: Tensor, captions: Sequence[list[int]], advantages: Tensor) -> Tensor:
        """Mean over words of -advantage · log-probability, whose gradient is that of REINFORCE; see `cross_entropy`."""
        each = len(captions) // len(cells)
        logits, target, number = self.teacher_forced(cells, captions, [k // each for k in range(len(captions))])
        said = log_policy(logits, self.markers, self.settings.temperature).gather(1, target[:, None]).squeeze(1)
        return -(advantages.to(said.device)[number] * said).mean() * share_of_words(len(target))

    def collapse(self, means: dict[str, float]) -> str | None:
        """A message if no caption earns a reward, so that there is nothing to learn from; else None."""
        if means["reward"] > 0.01:
            return None
        return (
            f"The sampled captions earn no reward (CIDEr-D {means['reward']:.3f}). "
            "Start from a trained captioner, with --from."
        )


def log_policy(logits: Tensor, markers: Markers, temperature: float = 1.0) -> Tensor:
    """Logits (R,V) → log-probabilities (R,V) of the sampled distribution; -∞ for words that are never said."""
    return word_log_probabilities(logits.float() / temperature, markers)


@torch.no_grad()
def sample_captions(
    decoder: Decoder, features: Tensor, markers: Markers, draws: Tensor, *, temperature: float = 1.0
) -> list[list[int]]:
    """Sample k captions of each of B pictures at once: features (B,…), `draws` (k·B,L) uniform in [0,1).

    The k rows of a picture are consecutive. A caption of up to L words depends only on its picture and its row of
    `draws`. Ids begin with the start marker and end with the end marker, unless L words are not enough. For speed, and
    unlike `decoding.sample`, it keeps no probabilities and drops captions that have ended.
    """
    draws = draws.to(features.device)
    state = tuple(part.repeat_interleave(len(draws) // len(features), 0) for part in decoder.start(features))
    said = torch.full(draws.shape, markers.end, device=draws.device)
    rows = torch.arange(len(draws), device=draws.device)
    words = torch.full_like(rows, markers.start)
    for t in range(draws.shape[1]):
        logits, state, _ = decoder.step(words, state)
        reached = log_policy(logits, markers, temperature).exp().double().cumsum(1)
        wanted = draws[rows, t, None] * reached[:, -1:]
        words = torch.searchsorted(reached, wanted, right=True).squeeze(1).clamp_max(logits.shape[1] - 1)
        said[rows, t] = words
        going = words != markers.end
        if not going.any():
            break
        rows, words, *state = (part[going] for part in (rows, words, *state))
    return [[markers.start, *_through(row, markers.end)] for row in said.tolist()]


def _through(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids
