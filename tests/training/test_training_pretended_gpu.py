"""Training steps on a GPU that only pretends to be one: nothing mixes devices, and losses are those of the CPU."""

from __future__ import annotations

import json

import pytest

from telephonegan.training import devices
from tests.pretended_gpu import pretended_gpu


@pytest.fixture
def losses(train, tmp_path, damsm_run, monkeypatch):
    """The logged numbers of two steps on a device, in float32 on both."""
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)

    def of(recipe: str, device: str) -> list[dict[str, float]]:
        folder = tmp_path / f"{recipe}-{device}"
        own = {"damsm": str(damsm_run)} if recipe == "attngan" else {}
        train(recipe, folder, device=device, **own)
        return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]

    return of


@pytest.mark.parametrize("recipe", ["damsm", "attngan", "captioner"])
def test_steps_and_evaluations_are_those_of_the_cpu(losses, recipe, monkeypatch):
    expected = losses(recipe, "cpu")
    with pretended_gpu(monkeypatch):
        found = losses(recipe, "cuda")
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        shared = {name for name, value in other.items() if isinstance(value, float) and "second" not in name}
        assert {name: one[name] for name in shared} == pytest.approx({name: other[name] for name in shared}, rel=1e-3)


def test_noise_that_stays_on_the_host_is_found(losses, monkeypatch):
    """The test above can fail: such a mistake raises, as it would on a GPU."""
    monkeypatch.setattr("telephonegan.training.attngan.sent", lambda tensor, device: tensor)
    with pretended_gpu(monkeypatch), pytest.raises(RuntimeError, match="cuda:0 and cpu"):
        losses("attngan", "cuda")
