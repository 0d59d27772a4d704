import pytest
import torch

from telephonegan.training.features import cached


def batches():
    return torch.arange(10.0).view(5, 2).split(2)


def test_features_of_all_batches_are_joined_in_half_precision(tmp_path):
    found = cached(tmp_path / "f.npy", batches, lambda batch: 2 * batch)
    assert found.dtype == torch.float16
    assert torch.equal(found, torch.arange(0.0, 20, 2).view(5, 2).half())


def test_features_are_computed_once(tmp_path):
    path = tmp_path / "deep" / "f.npy"
    first = cached(path, batches, lambda batch: batch.exp())
    again = cached(path, lambda: pytest.fail("asked for pictures again"), lambda batch: pytest.fail("computed again"))
    assert torch.equal(first, again)


def test_features_are_computed_without_gradients(tmp_path):
    weight = torch.ones(2, requires_grad=True)
    assert not cached(tmp_path / "f.npy", batches, lambda batch: batch * weight).requires_grad


def test_an_interrupted_computation_leaves_nothing_behind(tmp_path):
    def fails(batch):
        if batch[0, 0] > 0:
            raise KeyboardInterrupt
        return batch

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "f.npy", batches, fails)
    assert list(tmp_path.iterdir()) == []
    assert len(cached(tmp_path / "f.npy", batches, lambda batch: batch)) == 5


def test_an_interrupted_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def half_written(file, array):
        file.write(b"\x93NUMPY")
        raise OSError("disk full")

    monkeypatch.setattr("telephonegan.training.features.np.save", half_written)
    with pytest.raises(Exception, match="disk full"):
        cached(tmp_path / "f.npy", batches, lambda batch: batch)
    assert list(tmp_path.iterdir()) == []


def test_what_a_caller_does_to_its_features_does_not_reach_the_file(tmp_path):
    path = tmp_path / "f.npy"
    first = cached(path, batches, lambda batch: batch)
    expected = first.clone()
    first.zero_()
    del first
    assert torch.equal(cached(path, batches, lambda batch: batch), expected)
