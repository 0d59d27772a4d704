"""Plug & play generation as a back end of the game: a text is painted by sampling what a captioner would say it of.

Nguyen et al., "Plug & Play Generative Networks" (2017), section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from telephonegan import inference
from telephonegan.captioning import Captioner
from telephonegan.generation import Generator
from telephonegan.latent.decoders import CodeDecoder
from telephonegan.latent.published import code_decoder
from telephonegan.latent.sampler import Sampler, SamplerSettings
from telephonegan.latent.text_conditions import CaptionCondition
from telephonegan.painting import Latents, Painter
from telephonegan.text import EncodedText
from telephonegan.zoo import catalogue

NAME = "ppgn"  # of the generator; ppgn/NAME chooses another model than photos
STEPS = 60
_SETTINGS = SamplerSettings(n_iters=STEPS, lr_end=0.1, epsilon1=1e-3, save_every=0)


class CodePainter(Painter):
    """Paints a text by `STEPS` steps of plug & play sampling from a random code, "code" (B,256).

    It paints words that its captioner knows, and is some hundred times slower than a generator that was trained to
    paint texts.
    """

    def __init__(self, decoder: CodeDecoder, captioner: Captioner, settings: SamplerSettings = _SETTINGS) -> None:
        self.decoder, self.captioner, self.settings = decoder, captioner, settings
        self.vocabulary, self.device, self.size = captioner.vocabulary, decoder.device, decoder.size
        self.latent_widths = {"code": decoder.width}

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device, captioner: str = "flickr8k") -> CodePainter:
        """The painter of a model of kind "ppgn", in the eyes of a captioner. Raises UnknownModelError, WeightsError."""
        found = catalogue.find("captioner", captioner)
        return cls(code_decoder(entry.name, device), inference.shared_model(Captioner, found, device))

    def encode(self, text: str) -> EncodedText:
        return self.vocabulary.encode(text, limit=self.captioner.words_limit)

    def read(self, texts: Sequence[EncodedText]) -> list[str]:
        return [" ".join(text.words) for text in texts]

    def paint(self, latents: Latents, read: Sequence[str]) -> tuple[list[Tensor], list[Tensor]]:
        rows = [self._painted(code, text) for code, text in zip(latents["code"], read, strict=True)]
        return [torch.cat(rows)], []

    def _painted(self, code: Tensor, text: str) -> Tensor:
        with torch.inference_mode(False):  # in which generators paint, and which gradients cannot go through
            condition = CaptionCondition(text, self.captioner)
            sampler = Sampler(self.decoder, condition, prior=self.decoder.prior("joint"), settings=self.settings)
            state = sampler.start([0], code)
            while state.step < self.settings.n_iters and state.moves:
                state, _ = sampler.advance(state)
            return self.decoder(state.vectors)


@inference.once(maxsize=4)
def caption_generator(name: str, device: torch.device) -> Generator:
    """The generator "ppgn", or "ppgn/NAME" for another model than photos. Raises UnknownModelError, WeightsError.

    >>> caption_generator("ppgn", torch.device("cpu"))(["a dog in the snow"], seeds=[0])  # doctest: +SKIP
    """
    entry = catalogue.find("ppgn", name.partition("/")[2] or "photos")
    return Generator(CodePainter.of(entry, device), name=name, sha256=entry.sha256)


def is_code_generator(name: str) -> bool:
    """Whether a generator's name is one of those."""
    return name.partition("/")[0] == NAME
