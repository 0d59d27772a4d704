"""Plug & play generation as a back end of the game."""

from __future__ import annotations

import pytest

import telephonegan as tg
from telephonegan.errors import TextError, UnknownModelError
from telephonegan.latent import code_painter
from telephonegan.latent.sampler import SamplerSettings


@pytest.fixture
def ppgn(codes, tiny, monkeypatch):
    """Its name; it follows the only captioner there is, for three steps."""
    from telephonegan.captioning import Captioner
    from telephonegan.generation import Generator
    from telephonegan.latent.decoders import CodeDecoder

    settings = SamplerSettings(n_iters=3, lr_end=0.1, epsilon1=1e-3)
    painter = code_painter.CodePainter(CodeDecoder.load("photos", "cpu"), Captioner.load(tiny, "cpu"), settings)
    monkeypatch.setattr("telephonegan.telephone.caption_generator", lambda name, device: Generator(painter, name=name))
    return "ppgn"


def test_a_text_is_painted_by_sampling_and_its_seed_decides(ppgn):
    one, same = (tg.generate("a red dog", generator=ppgn, seed=3, device="cpu") for _ in range(2))
    other = tg.generate("a red dog", generator=ppgn, seed=4, device="cpu")
    assert one.image.tobytes() == same.image.tobytes() != other.image.tobytes()
    assert one.words == ["a", "red", "dog"] and one.model == "ppgn" and one.image.size == (16, 16)


def test_more_steps_follow_the_captioner_further(ppgn, tiny):
    from telephonegan.captioning import Captioner
    from telephonegan.latent.decoders import CodeDecoder
    from telephonegan.latent.text_conditions import CaptionCondition

    captioner, decoder = Captioner.load(tiny, "cpu"), CodeDecoder.load("photos", "cpu")
    said = []
    for steps in (1, 25):
        settings = SamplerSettings(n_iters=steps, lr_end=0.1, epsilon1=0)
        painter = code_painter.CodePainter(decoder, captioner, settings)
        painted = painter.paint(painter.latents([0]), painter.read([painter.encode("a red dog")]))[0][-1]
        said.append(CaptionCondition("a red dog", captioner)(painted).objective.item())
    assert said[1] > said[0]


def test_it_plays_the_game_and_a_game_that_was_kept_names_it(ppgn, tiny, tmp_path):
    chain = tg.play(text="a red dog", rounds=1, captioner=tiny, generator=ppgn, device="cpu")
    chain.save(tmp_path / "game")
    assert tg.Chain.load(tmp_path / "game").models["generator"]["name"] == "ppgn" and len(chain) == 2


def test_a_text_without_known_words_and_an_unknown_model_are_refused(ppgn, codes):
    with pytest.raises(TextError):
        tg.generate("xyzzy", generator=ppgn, device="cpu")
    with pytest.raises(UnknownModelError, match="nothing"):
        code_painter.caption_generator("ppgn/nothing", "cpu")
