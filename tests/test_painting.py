"""Painting as a function of tensors: gradients, latents by seed, and a back end of another architecture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from telephonegan import painting
from telephonegan.errors import WeightsError
from telephonegan.generation import Generator
from telephonegan.painting import Painter
from telephonegan.text import EncodedText, Vocabulary
from telephonegan.zoo import catalogue, store

TEXTS = ["a red dog", "two people on the beach"]


@pytest.fixture
def painter(phone) -> Painter:
    return phone.generator.painter


def test_gradients_of_a_picture_reach_every_latent_and_nothing_else(painter):
    latents = {name: part.requires_grad_() for name, part in painter.latents([3, 4]).items()}
    stages, attentions = painter.paint(latents, painter.read([painter.encode(text) for text in TEXTS]))
    (stages[-1].square().mean() + attentions[-1].square().mean()).backward()
    for part in latents.values():
        assert part.grad.isfinite().all() and (part.grad.abs().amax(1) > 0).all()
    networks = (painter.network, painter.matcher.text)
    assert all(parameter.grad is None for network in networks for parameter in network.parameters())


def test_gradients_of_a_picture_reach_the_sentence(painter):
    read = painter.read([painter.encode(TEXTS[0])])
    sentence = read.sentences.clone().requires_grad_()
    stages, _ = painter.paint(painter.latents([0]), read._replace(sentences=sentence))
    stages[-1].mean().backward()
    assert sentence.grad.isfinite().all() and sentence.grad.abs().sum() > 0


def test_without_gradients_no_graph_is_kept(painter):
    read = painter.read([painter.encode(TEXTS[0])])
    assert painter.paint(painter.latents([0]), read)[0][-1].grad_fn is None
    latents = {name: part.requires_grad_() for name, part in painter.latents([0]).items()}
    with torch.no_grad():
        assert painter.paint(latents, read)[0][-1].grad_fn is None


def test_a_caption_of_a_painted_picture_can_be_followed_back_to_the_noise(phone, painter):
    vision, latents = phone.captioner.vision, painter.latents([5])
    noise = latents["noise"].requires_grad_()
    stages, _ = painter.paint(latents, painter.read([painter.encode(TEXTS[0])]))
    state = vision.decoder.start(vision.features(vision.pixels(stages[-1])))
    logits, _, _ = vision.decoder.step(torch.tensor([phone.captioner.markers.start]), state)
    logits.log_softmax(1)[0, 5].backward()
    assert noise.grad.isfinite().all() and noise.grad.abs().sum() > 0


def test_each_seed_draws_its_own_latents_whatever_its_neighbours(painter):
    together, alone = painter.latents([3, 4]), painter.latents([4])
    assert list(together) == ["noise", "eps"] and together["noise"].shape == (2, 8)
    assert all(torch.equal(together[name][1:], alone[name]) for name in together)
    assert not torch.equal(together["noise"][0], together["noise"][1])


class PlainPainter(Painter):
    """A generator without texts: one linear layer from latent to picture."""

    vocabulary, latent_widths, size = Vocabulary(["<pad>"]), {"code": 5}, 4

    def __init__(self, network: nn.Linear, device: torch.device) -> None:
        self.network, self.device = network.requires_grad_(False), device

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> PlainPainter:
        return cls(store.load_strict(nn.Linear(5, 48), store.read_tensors(entry)), device)

    def encode(self, text: str) -> EncodedText:
        return EncodedText([], [])

    def read(self, texts: list[EncodedText]) -> None:
        return None

    def paint(self, latents: dict[str, Tensor], read: None) -> tuple[list[Tensor], list[Tensor]]:
        return [self.network(latents["code"]).tanh().view(-1, 3, 4, 4)], []


@pytest.fixture
def plain(tiny, tmp_path):
    torch.manual_seed(0)
    tensors = nn.Linear(5, 48).state_dict()
    return store.register("generator", "plain", tensors, architecture="plain", settings={}, folder=tmp_path)


def test_another_architecture_is_one_entry(plain, monkeypatch):
    monkeypatch.setitem(painting.BACK_ENDS, "plain", PlainPainter)
    generator = Generator.of(plain, "cpu")
    first, second, edited = generator(["", "", ""], seeds=[1, 2, 1], latents=[None, None, {"code": [0.0] * 5}])
    assert first.image.size == (4, 4) and first.attention is None
    assert len({picture.image.tobytes() for picture in (first, second, edited)}) == 3


def test_an_architecture_without_a_back_end_is_refused_with_those_there_are(plain):
    with pytest.raises(WeightsError, match=r"'plain'.*'attngan' or 'dfgan' or .* is needed"):
        Generator.of(plain, "cpu")
