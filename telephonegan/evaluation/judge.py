"""The judge: a matching model over EfficientNet-Lite2 features, which no generator here was trained against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan import weights
from telephonegan.models.backbone import Backbone
from telephonegan.models.damsm import ImageEncoder, TextEncoder, matching_features
from telephonegan.text import pad


class Judge:
    """Codes and features of pictures and captions, every picture first brought to the judge's picture size.

    Real and painted pictures are thus seen at the same resolution. Loads `judge/NAME` from the manifests.
    """

    def __init__(self, name: str = "flickr8k", device: str = "cpu") -> None:
        entry = weights.find("judge", name)
        self.settings, self.device = entry.settings, device
        self.vocabulary = weights.read_vocabulary(entry)
        text = TextEncoder(len(self.vocabulary), **self.settings["text"])
        image = ImageEncoder(**self.settings["image"])
        both = torch.nn.ModuleDict({"text_encoder": text, "image_encoder": image})
        self.encoders = weights.load_strict(both, weights.read_tensors(entry)).to(device).eval().requires_grad_(False)
        self.backbone = Backbone(self.settings["backbone"]).to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def look(self, images: Tensor, *, batch_size: int = 50) -> tuple[Tensor, Tensor]:
        """Pictures (N,3,H,W) in [-1,1] → codes (N,D) for matching, features (N,P) for distances; both float32, CPU."""
        parts = [self._look(batch.to(self.device)) for batch in images.split(batch_size)]
        codes, features = zip(*parts, strict=True)
        return torch.cat(codes).cpu(), torch.cat(features).cpu()

    def _look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        small = F.interpolate(images, size=(self.settings["picture_size"],) * 2, mode="area")
        regions, pooled = matching_features(self.backbone, small, self.settings["input_size"])
        _, codes = self.encoders["image_encoder"](regions, pooled)
        return codes, pooled

    @torch.no_grad()
    def read(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Word lists → sentence embeddings (N,D); a caption without a known word counts as padding alone."""
        limit = self.settings["words_limit"]
        ids, lengths = pad([self.vocabulary.known_ids(words, limit) for words in captions])
        return self.encoders["text_encoder"](ids.to(self.device), lengths)[1].cpu()
