import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.networks.char_cnn_rnn import (
    VARIANTS,
    CharCNNRNN,
    PooledImageEncoder,
    joint_embedding_loss,
)
from telephonegan.text import Alphabet, pad

TEXTS = ["a", "a purple flower with pointed petals", "x" * 201, "this bird is red, and has a short beak. " * 4]
PARAMETERS = {"cvpr": 1_814_144, "icml-flowers": 2_994_560, "icml-birds": 4_045_184}


def ids_of(texts: list[str]) -> Tensor:
    return pad([Alphabet().encode(text).ids for text in texts])[0]


def by_hand(network: CharCNNRNN, ids: Tensor) -> Tensor:
    """The published layers over all 201 characters, step by step."""
    x = F.one_hot(F.pad(ids, (0, 201 - ids.shape[1])), 71)[:, :, 1:].float().transpose(1, 2)
    for conv, pooled in ((network.conv1, True), (network.conv2, True), (network.conv3, False)):
        x = conv(x)
        x = torch.where(x > 1e-6, x, torch.zeros(()))
        x = F.max_pool1d(x, 3, 3) if pooled else x
    assert x.shape[2] == 18
    cell = network.rnn
    if network.cell == "rnn":
        steps = F.max_pool1d(x, 3, 2).unbind(2)
        assert len(steps) == 8
        h = (steps[0] @ cell.i2h.weight.T + cell.i2h.bias).clamp_min(0)
        states = [h]
        for step in steps[1:]:
            h = step @ cell.i2h.weight.T + cell.i2h.bias + h @ cell.h2h.weight.T + cell.h2h.bias
            states.append(h := h.clamp_min(0))
    else:
        steps = x.unbind(2)
        h = torch.tanh(cell.i2h(steps[0]))
        states = [h]
        for step in steps[1:]:
            u = torch.sigmoid(cell.i2h_update(step) + cell.h2h_update(h))
            r = torch.sigmoid(cell.i2h_reset(step) + cell.h2h_reset(h))
            candidate = torch.tanh(cell.i2h(step) + cell.h2h(r * h))
            states.append(h := u * candidate + (1 - u) * h)
    return network.linear(sum(states) / len(states))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_published_variant_has_its_parameters_and_equals_a_step_by_step_computation(variant):
    torch.manual_seed(0)
    network = CharCNNRNN(**VARIANTS[variant])
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[variant]
    ids = ids_of(TEXTS)
    with torch.no_grad():
        assert torch.allclose(network(ids)[1], by_hand(network, ids), atol=1e-5)


def test_an_embedding_does_not_depend_on_the_rest_of_its_batch():
    torch.manual_seed(0)
    network = CharCNNRNN(channels=8, width=4)
    alone = torch.cat([network(ids_of([text]))[1] for text in TEXTS])
    together = network(ids_of(TEXTS * 9))[1]
    assert torch.allclose(together[: len(TEXTS)], alone, atol=1e-6)
    assert torch.allclose(together[-len(TEXTS) :], alone, atol=1e-6)


def test_the_embedding_is_the_mean_of_its_steps():
    steps, sentences = CharCNNRNN(channels=8, cell="gru", width=4)(ids_of(TEXTS))
    assert steps.shape == (4, 4, 18)
    assert torch.allclose(steps.mean(2), sentences, atol=1e-6)


def test_a_text_of_no_character_is_embedded_as_padding_only():
    network = CharCNNRNN(channels=8, width=4)
    empty = network(torch.zeros(1, 1, dtype=torch.long))[1]
    assert torch.allclose(empty, network(torch.zeros(1, 201, dtype=torch.long))[1], atol=1e-6)


def test_another_cell_is_an_error_that_lists_the_cells():
    with pytest.raises(SettingsError, match="rnn, gru"):
        CharCNNRNN(cell="lstm")


def test_the_loss_equals_a_sum_over_all_pairs():
    torch.manual_seed(0)
    codes, sentences = torch.randn(5, 3), torch.randn(5, 3)
    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                own = float(codes[i] @ sentences[i])
                total += max(0.0, 1 + float(codes[i] @ sentences[j]) - own)
                total += max(0.0, 1 + float(codes[j] @ sentences[i]) - own)
    assert math.isclose(float(joint_embedding_loss(codes, sentences)), total / 25, rel_tol=1e-5)


def test_image_features_become_uncorrelated_components_of_one_length():
    torch.manual_seed(0)
    features = torch.randn(2000, 16) @ torch.randn(16, 16) + 3
    encoder = PooledImageEncoder(16, 8)
    encoder.fit(features)
    components = (features - encoder.mean) @ encoder.whitening
    assert torch.allclose(components.T @ components / 2000, torch.eye(8), atol=1e-3)
    regions, codes = encoder(None, features)
    assert torch.allclose(codes.norm(dim=1), torch.full((2000,), 8**0.5), atol=1e-4)
    assert regions.shape == (2000, 8, 1, 1)


def test_components_may_keep_a_part_of_their_variance():
    torch.manual_seed(0)
    features = torch.randn(2000, 3) * torch.tensor([9.0, 4.0, 1.0])
    for evened, deviations in ((0.0, [9.0, 4.0, 1.0]), (0.5, [3.0, 2.0, 1.0])):
        encoder = PooledImageEncoder(3, 3)
        encoder.fit(features, evened)
        found = ((features - encoder.mean) @ encoder.whitening).std(0)
        assert torch.allclose(found, torch.tensor(deviations), rtol=0.1)


def test_few_photographs_have_fewer_components():
    encoder = PooledImageEncoder(16, 8)
    features = torch.randn(4, 16)
    encoder.fit(features)
    assert encoder.whitening.abs().sum(0).count_nonzero() == 3
    assert encoder(None, features)[1].isfinite().all()
