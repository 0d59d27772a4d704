"""What a picture should show, in words: a caption that a captioner should write, or a text that a matcher should find.

Nguyen et al., "Plug & Play Generative Networks" (2017), section 4.2, with LRCN as captioner. There the gradient is cut
after one word; here it goes back through the whole sentence, which captioners that see the picture only once need.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError, TextError
from telephonegan.latent.conditions import Condition, Judgement
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import word_scores
from telephonegan.networks.decoding import log_probabilities
from telephonegan.text import padding_mask, tokenise
from telephonegan.zoo import catalogue

LEVELS = ("sentence", "words")


class CaptionCondition(Condition):
    """The sentence that a captioner should write about the picture.

    The objective is the log-probability of its words and of its end, summed; `word_weights` multiply those of some
    words, 0 leaves one out. The probability is the mean probability of words and end, as PPGN reports it. Words may be
    joined by underscores, as in PPGN's examples. Raises TextError for a word that the captioner does not know, and for
    more words than it says.

    >>> CaptionCondition("a_church_steeple", word_weights={"a": 0.2})  # doctest: +SKIP
    """

    def __init__(
        self,
        sentence: str,
        captioner: Captioner | str = "flickr8k",
        *,
        word_weights: Mapping[str, float] | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        self.captioner = _captioner(captioner, device)
        words = tokenise(sentence.replace("_", " "))
        self._check(words)
        self.words, self.label = words, " ".join(words)
        weights = _weights(words, word_weights or {})
        vocabulary, vision = self.captioner.vocabulary, self.captioner.vision
        ids = [vocabulary.ids[word] for word in words] + [self.captioner.markers.end]
        self._ids = torch.tensor(ids, device=vision.device)
        self._weights = torch.tensor([*weights, 1.0], device=vision.device)

    def _check(self, words: list[str]) -> None:
        known, limit = self.captioner.vocabulary, self.captioner.words_limit
        if not words:
            raise TextError("The caption has no words. Give a sentence such as 'a dog runs in the grass'.")
        if unknown := next((word for word in words if word not in known), None):
            near = difflib.get_close_matches(unknown, list(known.ids), n=4, cutoff=0.7)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise TextError(f"The captioner {self.captioner.name!r} does not know the word {unknown!r}.{hint}")
        if len(words) > limit:
            raise TextError(
                f"The captioner {self.captioner.name!r} says at most {limit} words; {len(words)} were given."
            )

    def __call__(self, images: Tensor) -> Judgement:
        logs = self.log_probabilities(images)
        return Judgement((logs * self._weights).sum(1), logs.detach().exp().mean(1))

    def log_probabilities(self, images: Tensor) -> Tensor:
        """Log-probabilities (B,L+1), in nats, of the words and the end for pictures (B,3,H,W) in [-1,1]."""
        vision = self.captioner.vision
        # cuDNN's LSTMs compute gradients in training mode only.
        with torch.backends.cudnn.flags(enabled=False):
            state = vision.decoder.start(vision.features(vision.pixels(images)))
            return log_probabilities(vision.decoder, state, self._ids.expand(len(images), -1), self.captioner.markers)


class MatchCondition(Condition):
    """A text that a matcher should find in the picture: a DAMSM, a judge, or a text embedding.

    Of the level "sentence" the objective is γ times the cosine of the sentence and the picture, and the probability
    that cosine, limited to [0,1]; "words" compares every word with the regions it attends to, as DAMSM's word loss
    does, and the probability is the mean cosine of words. Raises TextError for a text without a word it knows.

    >>> MatchCondition("a red bird", "damsm/birds", level="words")  # doctest: +SKIP
    """

    def __init__(
        self,
        text: str,
        matcher: Matcher | str = "damsm/flickr8k",
        *,
        level: str = "sentence",
        gamma: float = 10.0,
        device: str | torch.device = "auto",
    ) -> None:
        if level not in LEVELS:
            raise SettingsError(f"level is one of {', '.join(LEVELS)}; {level!r} was given.")
        self.matcher = _matcher(matcher, device)
        self.level, self.gamma, self.label = level, gamma, text.replace("_", " ")
        encoded = self.matcher.vocabulary.encode(self.label, limit=self.matcher.words_limit)
        with torch.no_grad():
            self._read = self.matcher.read_ids([encoded.ids])

    def __call__(self, images: Tensor) -> Judgement:
        seen = self.matcher.see(images)
        if self.level == "sentence":
            cosine = F.cosine_similarity(seen.codes.float(), self._read.sentences.float())
            return Judgement(self.gamma * cosine, cosine.detach().clamp(0, 1))
        words, lengths = self._read.words, self._read.lengths
        scores = word_scores(seen.regions, words, padding_mask(lengths, words.shape[2]), gamma2=self.gamma)[:, 0]
        mean = (scores.detach() - lengths.float().log()) / self.gamma
        return Judgement(scores, mean.clamp(0, 1))


def _captioner(captioner: Captioner | str, device: str | torch.device) -> Captioner:
    if isinstance(captioner, Captioner):
        return captioner
    device = inference.resolve_device(device)
    return inference.shared_model(Captioner, catalogue.find("captioner", captioner), device)


def _matcher(matcher: Matcher | str, device: str | torch.device) -> Matcher:
    return matcher if isinstance(matcher, Matcher) else Matcher.load(matcher, inference.resolve_device(device))


def _weights(words: list[str], given: Mapping[str, float]) -> list[float]:
    if strange := next((word for word in given if word not in words), None):
        raise SettingsError(f"word_weights has {strange!r}, which is not in the caption: {' '.join(words)}.")
    for word, weight in given.items():
        if not inference.is_number(weight) or not math.isfinite(weight):
            raise SettingsError(f"The weight of {word!r} is {weight!r}; a finite number is needed.")
    return [float(given.get(word, 1.0)) for word in words]
