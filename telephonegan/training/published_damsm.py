"""Training DAMSM as published: Inception-v3 and a bidirectional recurrent network over words.

Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs" (2018), section 3.2, with the habits
of the published code: Inception's weights are frozen but its batch norms use the statistics of each batch, the learning
rate falls by 2 % each epoch down to a tenth, and the optimiser's moments are reset each epoch.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from telephonegan.data.photos import CaptionedPhotos, unit_range
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.batchnorm import BatchNorm2d
from telephonegan.networks.damsm import TextEncoder, damsm_loss
from telephonegan.networks.inception import INPUT_SIZE, InceptionEncoder
from telephonegan.text import PAD, Vocabulary, pad
from telephonegan.training.batches import Batches, Crops, known_ids
from telephonegan.training.devices import autocast
from telephonegan.training.distributed import average_gradients, gather
from telephonegan.zoo.published import read_state

MEASURED_BATCHES = 51  # of the development split in evaluations, as published


def check_run(batch_size: int, epochs: int, words_limit: int) -> None:
    """Raise SettingsError for a batch too small for mismatched pairs, or fewer than one epoch or word."""
    if batch_size < 2:
        raise SettingsError(f"batch_size must be at least 2 to have mismatched pairs; {batch_size} was given.")
    for name, value in (("epochs", epochs), ("words_limit", words_limit)):
        if value < 1:
            raise SettingsError(f"{name} must be at least 1; {value} was given.")


@dataclass(frozen=True)
class PublishedDamsmSettings:
    """Settings of a published DAMSM run; sizes in pixels."""

    picture_size: int = INPUT_SIZE
    minimum_count: int = 1  # rarer words in the training captions are unknown
    words_limit: int = 18  # this many words of a longer caption are sampled each time
    word_width: int = 300
    width: int = 256
    cell: str = "LSTM"  # or GRU
    dropout: float = 0.5  # on word embeddings
    fc_width: int = 0  # width of a linear layer between word embeddings and recurrent network; 0 for none
    fc_name: str = "linear"  # its name in checkpoints; the other published one is rdc_text
    fc_dropout: float = 0.5  # after that layer, instead of `dropout`
    inception_weights: str = ""  # torchvision's inception_v3 state dict, trained on ImageNet
    batch_size: int = 48
    epochs: int = 600
    learning_rate: float = 0.002
    learning_rate_decay: float = 0.98  # each epoch, while the rate is above the last one
    last_learning_rate: float = 0.0002
    restart_optimiser: bool = True  # each epoch
    text_gradient_clip: float = 0.25
    gamma1: float = 4.0
    gamma2: float = 5.0
    gamma3: float = 10.0
    bfloat16: bool = True  # False runs Inception in float32, as published
    workers: int = 4  # threads that read photographs

    def __post_init__(self) -> None:
        check_run(self.batch_size, self.epochs, self.words_limit)

    @property
    def gammas(self) -> tuple[float, float, float]:
        return self.gamma1, self.gamma2, self.gamma3


PRESETS = {"birds": PublishedDamsmSettings(), "coco": replace(PublishedDamsmSettings(), words_limit=15)}


class PublishedDamsmRecipe:
    """A DAMSM run on a training and a development split.

    `cache` is not used: photographs are read when they are needed.
    """

    def __init__(
        self,
        train: CaptionedPhotos,
        dev: CaptionedPhotos,
        settings: PublishedDamsmSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.device, self.batch_size = settings, torch.device(device), settings.batch_size
        self.vocabulary = _vocabulary(train, settings.minimum_count)
        self.dev = dev[: MEASURED_BATCHES * settings.batch_size]
        sizes = (settings.picture_size,)
        self.seed = 0
        self.batches = Batches(
            train,
            self.vocabulary,
            Crops(train, sizes, workers=settings.workers),
            batch_size=settings.batch_size,
            words_limit=settings.words_limit,
        )
        self.dev_crops = Crops(self.dev, sizes, workers=settings.workers)
        self.text = TextEncoder(len(self.vocabulary), **self.network()["text"]).to(self.device)
        self.image = _image_encoder(settings).to(self.device, memory_format=torch.channels_last)
        self.parameters = [p for net in (self.text, self.image) for p in net.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, settings.learning_rate, (0.5, 0.999))

    @property
    def steps(self) -> int:
        """Steps of the whole run: its epochs over the training photographs."""
        return self.settings.epochs * self.batches.per_epoch

    def state(self) -> dict[str, Any]:
        return {"text_encoder": self.text, "image_encoder": self.image, "optimiser": self.optimiser}

    def warm_start(self, checkpoint: Mapping[str, Any]) -> None:
        """Start with the encoders of another run's checkpoint. Raises WeightsError if they do not fit."""
        load_networks({"text_encoder": self.text, "image_encoder": self.image}, checkpoint)

    def network(self) -> dict[str, Any]:
        """The settings from which both encoders are built."""
        settings = self.settings
        text = {"word_width": settings.word_width, "width": settings.width, "cell": settings.cell}
        if settings.fc_width:
            text |= {"dropout": settings.fc_dropout, "fc_width": settings.fc_width, "fc_name": settings.fc_name}
        else:
            text |= {"dropout": settings.dropout}
        return {"text": text, "image": {"backbone": "inception", "width": settings.width}}

    def step(self, step: int) -> dict[str, float]:
        batch = self.batches.take(step, self.seed)
        self._begin_epoch(*divmod(step, self.batches.per_epoch))
        self.text.train(), self.image.train()
        # Every process encodes all sentences, which is little work, and its share of the photographs.
        words, sentences = self.text(batch.ids.to(self.device), batch.lengths)
        regions, codes = (gather(each) for each in self._look(batch.pixels[0]))
        same = None if batch.same is None else batch.same.to(self.device)
        word_loss, sentence_loss = self._losses(regions, codes, words, sentences, batch.lengths, same)
        self.optimiser.zero_grad(set_to_none=True)
        (word_loss + sentence_loss).backward()
        average_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.text.parameters(), self.settings.text_gradient_clip)
        self.optimiser.step()
        return {"word_loss": word_loss.item(), "sentence_loss": sentence_loss.item()}

    def _begin_epoch(self, epoch: int, number: int) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, epoch)
        if number == 0 and self.settings.restart_optimiser:
            self.optimiser.state.clear()

    def _look(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        images = unit_range(pixels.to(self.device)).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, wanted=self.settings.bfloat16):
            regions, codes = self.image(images)
        return regions.float(), codes.float()

    def _losses(
        self, regions: Tensor, codes: Tensor, words: Tensor, sentences: Tensor, lengths: Tensor, same: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        lengths = lengths.to(self.device)
        return damsm_loss(regions, codes, words, sentences, lengths, same=same, gammas=self.settings.gammas)

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """R-precision and mean losses over up to 51 batches of development photographs."""
        self.text.eval(), self.image.eval()
        parts = torch.arange(len(self.dev)).split(self.batch_size)
        measured = [self._measured(part) for part in parts]
        codes, sentences, losses = zip(*measured, strict=True)
        full = max(1, len(self.dev) // self.batch_size)  # an incomplete last batch would be easier
        word_loss, sentence_loss = torch.tensor(losses[:full]).mean(0).tolist()
        return {
            "r_precision": self._r_precision(torch.cat(codes), torch.cat(sentences)),
            "word_loss": word_loss,
            "sentence_loss": sentence_loss,
        }

    def _measured(self, rows: Tensor) -> tuple[Tensor, Tensor, tuple[float, float]]:
        captions = [self.dev.captions[row][0] for row in rows.tolist()]
        ids, lengths = pad([known_ids(self.vocabulary, caption)[: self.settings.words_limit] for caption in captions])
        words, sentences = self.text(ids.to(self.device), lengths)
        regions, codes = self._look(self.dev_crops.centres(rows.tolist())[0])
        same = None
        if self.dev.classes is not None:
            classes = torch.tensor([self.dev.classes[row] for row in rows.tolist()], device=self.device)
            same = classes[:, None] == classes
        word_loss, sentence_loss = self._losses(regions, codes, words, sentences, lengths, same)
        return codes.cpu(), sentences.cpu(), (word_loss.item(), sentence_loss.item())

    def _r_precision(self, codes: Tensor, sentences: Tensor) -> float:
        from telephonegan.evaluation.matching import r_precision

        n, classes = len(codes), self.dev.classes
        largest = 1 if classes is None else max(Counter(classes).values())
        if largest == n:  # there is only one class: captions of all other photographs are mismatched
            classes, largest = None, 1
        found = r_precision(codes, sentences, candidates=min(100, n - largest + 1), folds=min(10, n), groups=classes)
        return found.mean


def learning_rate(settings: PublishedDamsmSettings, epoch: int) -> float:
    """The learning rate of an epoch, counted from 0.

    >>> learning_rate(PublishedDamsmSettings(), 1)
    0.00196
    """
    rate = settings.learning_rate
    for _ in range(epoch):
        if rate <= settings.last_learning_rate:
            break
        rate *= settings.learning_rate_decay
    return rate


def load_networks(nets: Mapping[str, nn.Module], checkpoint: Mapping[str, Any]) -> None:
    """Load networks by name from a checkpoint of another run. Raises WeightsError if one is missing or does not fit."""
    missing = [name for name in nets if name not in checkpoint]
    if missing:
        raise WeightsError(
            f"Cannot start from that run: its checkpoint lacks {' and '.join(missing)}; "
            f"it has {', '.join(checkpoint)}. Give a run of the same recipe."
        )
    for name, net in nets.items():
        try:
            net.load_state_dict(dict(checkpoint[name]))
        except RuntimeError as error:
            raise WeightsError(
                f"The {name} of that run has other sizes ({error}). Use that run's settings and data."
            ) from error


def _vocabulary(photos: CaptionedPhotos, minimum: int) -> Vocabulary:
    sentences = [caption for captions in photos.captions for caption in captions]
    return Vocabulary.build(sentences, minimum=minimum, specials=(PAD,))


def _image_encoder(settings: PublishedDamsmSettings) -> InceptionEncoder:
    encoder = InceptionEncoder(settings.width)
    if settings.inception_weights:
        load_inception(encoder, settings.inception_weights)
    else:
        warnings.warn(
            "Inception-v3 has RANDOM weights, which are not trained, so the encoders will match poorly. Give "
            "torchvision's ImageNet weights: --set inception_weights=inception_v3_google-0cc3c7bd.pth",
            stacklevel=3,
        )
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name.startswith("emb_"))
    for module in encoder.modules():
        if type(module) is nn.BatchNorm2d:  # torchvision's, which uses the rows of one process only
            module.__class__ = BatchNorm2d
    return encoder


def load_inception(encoder: InceptionEncoder, path: str | Path) -> None:
    """Load all but the two embedding layers from torchvision's inception_v3 state dict. Raises WeightsError."""
    given, own = read_state(path), encoder.state_dict()
    wanted = [name for name in own if not name.startswith("emb_") and not name.endswith("num_batches_tracked")]
    unfit = [name for name in wanted if name not in given or given[name].shape != own[name].shape]
    if unfit:
        raise WeightsError(
            f"{path} is not a state dict of torchvision's inception_v3: {len(unfit)} of {len(wanted)} tensors are "
            f"missing or of another shape, first {unfit[0]}."
        )
    encoder.load_state_dict({name: given[name] for name in wanted}, strict=False)
