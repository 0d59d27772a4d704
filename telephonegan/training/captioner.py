"""Training a captioner on the features of a backbone that is frozen or fine-tuned in its last stages.

Xu et al., "Show, Attend and Tell" (2015) and Vinyals et al., "Show and Tell" (2015): cross-entropy with teacher
forcing. Added are label smoothing, a moving average of the weights, and several views of every photograph, one of them
at the generator's picture size, because in the game the captioner looks at painted pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.captioner import CaptionModel
from telephonegan.networks.decoding import Markers, beam
from telephonegan.text import END, START, UNKNOWN, Vocabulary, pad
from telephonegan.training import distributed
from telephonegan.training.averaging import follow
from telephonegan.training.damsm import cosine_decay
from telephonegan.training.devices import autocast
from telephonegan.training.ranges import COUNT, RATE, SHARE, SIZE, check_ranges
from telephonegan.training.sight import FrozenSight, Sight, TunedSight


@dataclass(frozen=True)
class CaptioningSettings:
    """Settings of every captioner run, whatever it optimises; sizes in pixels."""

    attention: bool = True
    input_size: int = 256  # of the backbone; a multiple of 32
    stored_size: int = 208
    small_size: int = 64
    minimum_count: int = 4
    words_limit: int = 20
    embedding_width: int = 256
    hidden_width: int = 512
    dropout: float = 0.5
    label_smoothing: float = 0.1
    photos_per_batch: int = 20
    weight_decay: float = 1e-5
    gradient_clip: float = 1.0
    length_power: float = 0.7
    # How many of the backbone's seven stages are trained, from the last; best `--from` a run with none.
    tuned_stages: int = 0
    backbone_rate: float = 1e-4
    disturbed: float = 0.5  # with tuned stages: share of batches with changed colours
    small: float = 0.15  # and share of batches reduced to `small_size` pixels

    def __post_init__(self) -> None:
        if self.input_size < 32 or self.input_size % 32:
            raise SettingsError(f"input_size must be a multiple of 32 pixels; {self.input_size} was given.")
        check_ranges(
            self,
            **dict.fromkeys(("input_size", "stored_size", "small_size", "embedding_width", "hidden_width"), SIZE),
            **dict.fromkeys(("photos_per_batch", "minimum_count", "words_limit", "steps"), COUNT),
            dropout=SHARE,
            learning_rate=RATE,
            tuned_stages=(0, 3),
            backbone_rate=RATE,
            disturbed=SHARE,
            small=SHARE,
        )


@dataclass(frozen=True)
class CaptionerSettings(CaptioningSettings):
    """Settings of a run that learns from human captions by cross-entropy."""

    learning_rate: float = 1e-3
    average_from: float = 0.5  # share of the run after which averaging of the weights begins
    steps: int = 3000  # 300 steps see every caption once


PRESETS = {
    "cpu": CaptionerSettings(),
    "tuned": replace(CaptionerSettings(), tuned_stages=2, learning_rate=5e-4, average_from=0.2, steps=2500),
    "gpu": replace(CaptionerSettings(), photos_per_batch=100, learning_rate=2e-3, steps=1200),
    # For `telephonegan train world`: photographs of 128 pixels, first with frozen features, then fine-tuned.
    "world": replace(CaptionerSettings(), stored_size=128, photos_per_batch=50, learning_rate=1.5e-3, steps=1200),
    "world-tuned": replace(
        CaptionerSettings(),
        stored_size=128,
        tuned_stages=2,
        photos_per_batch=50,
        learning_rate=8e-4,
        backbone_rate=1.5e-4,
        average_from=0.2,
        steps=1200,
    ),
    "tiny": CaptionerSettings(
        input_size=64,
        stored_size=48,
        small_size=32,
        minimum_count=1,
        embedding_width=64,
        hidden_width=128,
        dropout=0.2,
        photos_per_batch=32,
        learning_rate=3e-3,
        steps=200,
    ),
}


class CaptionerRecipe:
    """A captioner run on a training and a development split."""

    def __init__(
        self,
        train: CaptionedPhotos,
        dev: CaptionedPhotos,
        settings: CaptioningSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.train, self.dev, self.device = settings, train, dev, torch.device(device)
        sentences = [caption for captions in train.captions for caption in captions]
        self.vocabulary = Vocabulary.build(sentences, minimum=settings.minimum_count)
        self.markers = Markers.of(self.vocabulary)
        sight = TunedSight if settings.tuned_stages else FrozenSight
        self.sight: Sight = sight(train, dev, settings, cache, self.device)
        self.model = self.new_model().to(self.device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        groups = [{"params": parts, "lr": rate} for parts, rate in self.parameter_groups()]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        self.ids = [[self._ids(caption) for caption in captions] for captions in train.captions]
        self.batch_size = settings.photos_per_batch

    def new_model(self) -> CaptionModel:
        model = CaptionModel(len(self.vocabulary), **self.network())
        if model.tail is not None:
            model.tail.load_state_dict(self.sight.backbone.tail(self.settings.tuned_stages).state_dict())
        return model

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The trained parameters, in groups with their highest learning rates."""
        decoder = [p for name, p in self.model.named_parameters() if not name.startswith("tail.")]
        if self.model.tail is None:
            return [(decoder, self.settings.learning_rate)]
        return [
            (decoder, self.settings.learning_rate),
            (list(self.model.tail.parameters()), self.settings.backbone_rate),
        ]

    def warm_start(self, checkpoint: dict[str, Any]) -> None:
        """Start with the averaged weights of a captioner's checkpoint; words it does not know start untrained.

        Raises WeightsError for weights of another network.
        """
        if "average" not in checkpoint:
            raise WeightsError(f"A captioner's checkpoint is needed; this one contains {', '.join(checkpoint)}.")
        found = _for_vocabulary(checkpoint["average"], self.model.state_dict(), checkpoint, self.vocabulary)
        try:
            for net in (self.model, self.average):
                net.load_state_dict(found)
        except RuntimeError as error:
            raise WeightsError(
                f"The weights do not fit this network: {error}. Use the data and the network settings of that run."
            ) from error

    def _ids(self, caption: list[str]) -> list[int]:
        ids = self.vocabulary.ids
        return [ids[START], *(ids.get(word, ids[UNKNOWN]) for word in caption[: self.settings.words_limit]), ids[END]]

    def network(self) -> dict[str, Any]:
        """The settings from which `CaptionModel` is built."""
        settings = self.settings
        return {
            "attention": settings.attention,
            "embedding_width": settings.embedding_width,
            "hidden_width": settings.hidden_width,
            "dropout": settings.dropout,
            **({"tuned_stages": settings.tuned_stages} if settings.tuned_stages else {}),
        }

    def state(self) -> dict[str, Any]:
        return {"model": self.model, "average": self.average, "optimiser": self.optimiser}

    def step(self, step: int) -> dict[str, float]:
        settings = self.settings
        photos, cells = self.draw()
        self.model.train()
        loss = self.cross_entropy(cells, photos)
        self.update(loss, step)
        settled = step > settings.average_from * settings.steps
        follow(self.average, self.model, 0.998 if settled else 0.0)
        return {"loss": over_processes(loss.item())}

    def draw(self) -> tuple[list[int], Tensor]:
        """This process's share of a random batch: rows of photographs, and their cells, each in a random view."""
        photos = torch.randint(len(self.train), (self.batch_size,))
        cells = self.sight.draw(self.model, photos)
        return distributed.share(photos).tolist(), cells

    def cross_entropy(self, cells: Tensor, photos: list[int]) -> Tensor:
        """Cross-entropy of all captions of these photographs, averaged over the words of all processes.

        Each process returns its part times the number of processes, because `average_gradients` takes the mean.
        """
        captions = [(caption, row) for row, photo in enumerate(photos) for caption in self.ids[photo]]
        logits, target, _ = self.teacher_forced(cells, *zip(*captions, strict=True))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=self.settings.label_smoothing)
        return loss * share_of_words(len(target))

    def teacher_forced(
        self, cells: Tensor, captions: Sequence[list[int]], owners: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Captions with start markers, caption k of picture `owners[k]` → for all W words after the start markers:
        logits (W,V), ids (W,) and the numbers of their captions (W,), in an unspecified order."""
        order = sorted(range(len(captions)), key=lambda k: -len(captions[k]))
        ids, lengths = pad([captions[k] for k in order])
        rows = torch.tensor([owners[k] for k in order], device=self.device)
        ids, number = ids.to(self.device), torch.tensor(order, device=self.device)[:, None].expand(-1, ids.shape[1] - 1)
        with autocast(self.device, recurrent=self.model.head is not None):
            logits = self.model.packed_logits(cells, rows, ids[:, :-1], lengths - 1)
        target, number = (
            pack_padded_sequence(part, lengths - 1, batch_first=True).data for part in (ids[:, 1:], number)
        )
        return logits, target, number

    def update(self, loss: Tensor, step: int) -> None:
        """One optimiser step on the mean gradient of all processes."""
        settings = self.settings
        for group, (_, rate) in zip(self.optimiser.param_groups, self.parameter_groups(), strict=True):
            group["lr"] = rate * cosine_decay(step, settings.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
        self.optimiser.step()

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Scores of beam-3 captions of the development photographs."""
        from telephonegan.evaluation.captions import caption_scores

        rows = torch.arange(len(self.dev))
        said = []
        for part in rows.split(100):
            features = self.average.features(self.sight.measured(self.average, part))
            said += [
                self.vocabulary.decode(best[0].ids)
                for best in beam(
                    self.average.decoder,
                    features,
                    self.markers,
                    limit=self.settings.words_limit,
                    length_power=self.settings.length_power,
                )
            ]
        (folder / f"captions-{step:06d}.txt").write_text(
            "\n".join(f"{name}\t{' '.join(words)}" for name, words in zip(self.dev.names, said, strict=True)),
            encoding="utf-8",
        )
        return caption_scores(said, self.dev.captions)


_ROWS_OF_WORDS = ("decoder.embed.weight", "decoder.linear.weight", "decoder.linear.bias")


def _for_vocabulary(
    found: dict[str, Tensor], own: dict[str, Tensor], checkpoint: dict[str, Any], vocabulary: Vocabulary
) -> dict[str, Tensor]:
    """Weights of another run, with the rows of words in the order of `vocabulary`; missing words keep our own rows."""
    words = checkpoint.get("vocabulary", vocabulary.words)
    if words == vocabulary.words:
        return {key: value for key, value in own.items() if key.startswith("tail.")} | found
    places = {word: place for place, word in enumerate(words)}
    rows = [places.get(word) for word in vocabulary.words]
    known = torch.tensor([row is not None for row in rows])
    theirs = torch.tensor([row for row in rows if row is not None])
    fitted = {key: value.clone() for key, value in own.items()} | found
    for key in _ROWS_OF_WORDS:
        fitted[key] = own[key].clone()
        fitted[key][known] = found[key][theirs].to(own[key])
    return fitted


def share_of_words(words: int) -> float:
    """The weight of this process's mean over `words`, such that the mean over processes is that over all words."""
    return words * distributed.size() / distributed.total(words)


def over_processes(number: float) -> float:
    """The mean of a number over the processes."""
    return distributed.total(number) / distributed.size()
