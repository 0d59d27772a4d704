import pytest
import torch

from telephonegan.training.moments import MomentMatching


def fill(matching, painted, photographed):
    for part in range(0, len(painted), 4):
        loss = matching(painted[part : part + 4], photographed[part : part + 4])
    return loss


def test_nothing_is_asked_until_the_queues_are_full():
    matching = MomentMatching(8, capacity=8)
    assert matching(torch.randn(4, 8), torch.randn(4, 8)) == 0
    assert matching(torch.randn(4, 8), torch.randn(4, 8)) == 0
    assert matching(torch.randn(4, 8), torch.randn(4, 8)) != 0


def test_the_loss_is_nothing_where_painted_pictures_are_the_photographs():
    torch.manual_seed(0)
    features = torch.randn(64, 8)
    matching = MomentMatching(8, capacity=64)
    fill(matching, features, features)
    assert matching(features[:4], features[:4]).item() == pytest.approx(0, abs=1e-5)


def test_descending_moves_pictures_to_the_photographs():
    torch.manual_seed(0)
    matching = MomentMatching(4, capacity=32)
    photographs = torch.randn(32, 4) + torch.tensor([3.0, 0, 0, 0])
    pictures = torch.zeros(4, 4, requires_grad=True)
    optimiser = torch.optim.Adam([pictures], 0.1)
    for step in range(150):
        rows = torch.arange(4 * step, 4 * step + 4) % 32
        loss = matching(pictures, photographs[rows])
        if step > 8:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert pictures[:, 0].mean() > 1.5


def test_half_precision_around_it_does_not_drown_the_difference():
    torch.manual_seed(0)
    features = torch.randn(64, 16) * 3
    exact, around = (MomentMatching(16, capacity=64) for _ in range(2))
    fill(exact, features, features + 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        fill(around, features, features + 0.01)
        found = around(features[:4], features[:4])
    assert found.item() == pytest.approx(exact(features[:4], features[:4]).item(), rel=1e-3)


def test_the_queues_travel_with_the_checkpoint():
    torch.manual_seed(0)
    first, second = (MomentMatching(8, capacity=8) for _ in range(2))
    fill(first, torch.randn(12, 8), torch.randn(12, 8))
    second.load_state_dict(first.state_dict())
    new = torch.randn(4, 8), torch.randn(4, 8)
    assert torch.equal(first(*new), second(*new))
