"""The two Inception networks of FID, with random weights: none are on a machine that tests run on."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import inception

from telephonegan.errors import WeightsError
from telephonegan.evaluation import inception_features
from telephonegan.evaluation.inception_features import (
    PUBLISHED,
    FidInceptionA,
    FidInceptionC,
    FidInceptionE,
    FidInceptionEMax,
    InceptionFeatures,
    fid_inception,
    find_weights,
    torchvision_inception,
)
from telephonegan.files import sha256

BLOCKS = {
    "A": (lambda cls: cls(6, pool_features=4), FidInceptionA, inception.InceptionA, 4),
    "C": (lambda cls: cls(6, channels_7x7=4), FidInceptionC, inception.InceptionC, 192),
    "E": (lambda cls: cls(6), FidInceptionE, inception.InceptionE, 192),
    "E, maximum": (lambda cls: cls(6), FidInceptionEMax, inception.InceptionE, 192),
}


@pytest.fixture(params=BLOCKS)
def blocks(request):
    """One of pytorch-fid's blocks, torchvision's own with the same weights, and the channels of the pooled branch."""
    build, ours, theirs, pooled = BLOCKS[request.param]
    torch.manual_seed(0)
    own, other = build(ours).eval(), build(theirs).eval()
    other.load_state_dict(own.state_dict())
    return own, other, pooled


def random_norms(net):
    """Statistics other than those of a fresh batch norm, so that a wrong layer would show."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return random_norms(fid_inception())


def write_weights(folder, net, classes, *, aux=False):
    state = {**net.state_dict(), "fc.weight": torch.zeros(classes, 2048), "fc.bias": torch.zeros(classes)}
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if aux:
        state["AuxLogits.fc.weight"] = torch.zeros(classes, 768)
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


@torch.no_grad()
def test_blocks_differ_from_torchvision_in_the_pooled_branch_only(blocks):
    own, other, pooled = blocks
    x = torch.randn(2, 6, 5, 5)
    ours, theirs = own(x), other(x)
    assert ours.shape == theirs.shape
    assert torch.equal(ours[:, :-pooled], theirs[:, :-pooled])
    assert not torch.allclose(ours[:, -pooled:], theirs[:, -pooled:])


@torch.no_grad()
def test_padding_does_not_change_a_constant_picture(blocks):
    own, other, pooled = blocks
    x = torch.full((1, 6, 5, 5), 0.7)
    expected = own.branch_pool(x)
    torch.testing.assert_close(own(x)[:, -pooled:], expected)
    inside, edge = other(x)[:, -pooled:, 2, 2], other(x)[:, -pooled:, 0, 0]
    torch.testing.assert_close(inside, expected[:, :, 2, 2])
    assert not torch.allclose(edge, expected[:, :, 0, 0])


@torch.no_grad()
def test_only_the_last_block_pools_by_the_maximum():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    corner = {0: 2.0, 2: 3.0, 6: 5.0, 8: 6.0}  # means of the four cells that exist there
    for block in (FidInceptionA, FidInceptionC, FidInceptionE):
        pooled = block.pool(None, x).flatten()
        assert {place: pooled[place].item() for place in corner} == corner
        assert pooled[4] == 4
    assert FidInceptionEMax.pool(None, x).flatten().tolist() == [4, 5, 5, 7, 8, 8, 7, 8, 8]


def test_the_network_has_the_blocks_of_tensorflow_where_they_belong(network):
    blocks = {
        name: type(block)
        for name, block in network.named_children()
        if isinstance(block, inception_features._OtherPool)
    }
    assert blocks == {
        **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), FidInceptionA),
        **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), FidInceptionC),
        "Mixed_7b": FidInceptionE,
        "Mixed_7c": FidInceptionEMax,
    }
    plain = {key: tensor.shape for key, tensor in torchvision_inception().state_dict().items()}
    assert {key: tensor.shape for key, tensor in network.state_dict().items()} == plain


def test_features_are_the_pooled_cells_of_the_enlarged_picture(network, tmp_path):
    features = InceptionFeatures(write_weights(tmp_path, network, 1008))
    images = torch.rand(2, 3, 40, 40) * 2 - 1
    seen, cells = [], []
    features.net.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    features.net.Mixed_7c.register_forward_hook(lambda module, given, found: cells.append(found))
    found = features(images)
    assert torch.equal(seen[0], F.interpolate(images, size=(299, 299), mode="bilinear", align_corners=False))
    assert cells[0].shape == (2, 2048, 8, 8)
    torch.testing.assert_close(found, cells[0].mean((2, 3)))
    with torch.no_grad():
        torch.testing.assert_close(found, network(seen[0]))


def test_numbers_are_named_after_the_network_and_other_weights_after_their_checksum(network, tmp_path, monkeypatch):
    path = write_weights(tmp_path, network, 1008)
    features = InceptionFeatures(path)
    digest = sha256(path)
    assert (features.variant, features.name, features.sha256) == ("tf", f"tf_{digest[:8]}", digest)
    monkeypatch.setitem(PUBLISHED, "tf", f"pt_inception-2015-12-05-{digest[:8]}.pth")
    assert InceptionFeatures(path).name == "tf"


def test_torchvisions_weights_are_known_by_their_classes_and_need_no_auxiliary_head(tmp_path):
    torch.manual_seed(2)
    net = random_norms(torchvision_inception())
    features = InceptionFeatures(write_weights(tmp_path, net, 1000, aux=True))
    assert features.variant == "torchvision"
    assert type(features.net.Mixed_7c) is inception.InceptionE
    assert torch.equal(features.net.Mixed_7c.branch1x1.conv.weight, net.Mixed_7c.branch1x1.conv.weight)


@pytest.mark.parametrize(
    ("state", "said"),
    [({"fc.weight": torch.zeros(10, 2048)}, "10 classes"), ({"a": torch.zeros(1)}, "no layer fc")],
)
def test_other_networks_are_refused(state, said, tmp_path):
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=said):
        InceptionFeatures(tmp_path / "net.pth")


def test_weights_are_looked_for_in_torch_hub_and_never_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match=r"neither pt_inception.*Nothing is downloaded"):
        find_weights()
    (tmp_path / "checkpoints").mkdir()
    for variant in ("torchvision", "tf"):  # of two the one that published numbers come from
        place = tmp_path / "checkpoints" / PUBLISHED[variant]
        place.touch()
        assert find_weights() == place
    with pytest.raises(WeightsError, match="no file"):
        find_weights(tmp_path / "missing.pth")
