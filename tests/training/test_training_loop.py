import copy
import json
import math
import resource
import signal
import threading
import time

import pytest
import torch
from PIL import Image
from torch import nn

from telephonegan.errors import OutputError, SettingsError, WeightsError
from telephonegan.training import loop
from telephonegan.training.journal import Journal
from tests.locking import holding


class Regression:
    """A real recipe in small: dropout, random batches, Adam, batch norm and an average of the weights.

    `at` maps a step to what shall happen in its middle, after the weights have moved and before the average has.
    """

    batch_size = 4

    def __init__(self, width=3, at=None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.Adam(self.model.parameters(), 0.05)
        self.width, self.at = width, at or {}
        self.losses, self.evaluated = [], []

    def state(self):
        return {"model": self.model, "average": self.average, "optimiser": self.optimiser}

    def step(self, step):
        x = torch.randn(self.batch_size, self.width)
        loss = (self.model(x) - x.sum(1, keepdim=True)).pow(2).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        happened = self.at.get(step, lambda: None)()
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 0.1)
        self.losses.append(loss.item())
        return {"loss": loss.item() if happened is None else happened, "one": 1.0}

    def evaluate(self, step, folder):
        self.evaluated.append(step)
        torch.rand(3)
        return {"score": step / 10}

    def tensors(self):
        return [
            *self.model.state_dict().values(),
            *self.average.state_dict().values(),
            *(value for state in self.optimiser.state_dict()["state"].values() for value in state.values()),
        ]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def uninterrupted(tmp_path):
    recipe = Regression()
    loop.run(recipe, tmp_path / "uninterrupted", steps=9)
    return recipe


# ------------------------------------------------------------------------------------------- going on


def test_training_moves_the_weights(uninterrupted):
    assert len(uninterrupted.losses) == 9
    for ours, fresh in zip(uninterrupted.model.parameters(), Regression().model.parameters(), strict=True):
        assert not torch.equal(ours, fresh)


def test_a_run_in_two_parts_equals_an_uninterrupted_one_bit_by_bit(uninterrupted, tmp_path):
    loop.run(Regression(), tmp_path / "run", steps=4)
    recipe = Regression()
    loop.run(recipe, tmp_path / "run", steps=9)
    assert recipe.losses == uninterrupted.losses[4:]
    assert same(recipe, uninterrupted)


def test_a_run_stopped_by_ctrl_c_between_two_steps_goes_on_exactly(uninterrupted, tmp_path):
    stopped = Regression()
    stopped.evaluate = lambda step, folder: interrupt()
    loop.run(stopped, tmp_path / "run", steps=9, evaluate_every=5)
    recipe = Regression()
    loop.run(recipe, tmp_path / "run", steps=9)
    assert len(recipe.losses) == 4
    assert same(recipe, uninterrupted)


@pytest.fixture
def listening():
    """Ctrl-C is heard, as in a terminal; a test run in the background of a shell begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_the_middle_of_a_step_goes_on_exactly(uninterrupted, listening, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    stopped = Regression(at={5: lambda: signal.raise_signal(signal.SIGINT)})
    loop.run(stopped, tmp_path / "run", steps=9)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(stopped.losses) < 9
    recipe = Regression()
    loop.run(recipe, tmp_path / "run", steps=9)
    assert same(recipe, uninterrupted)


@pytest.fixture
def ignoring():
    """Ctrl-C is ignored, as in a process started with nohup."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_ignored_ctrl_c_stays_ignored(uninterrupted, ignoring, tmp_path):
    recipe = Regression(at={5: lambda: signal.raise_signal(signal.SIGINT)})
    loop.run(recipe, tmp_path, steps=9)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert same(recipe, uninterrupted)


def test_sigterm_in_the_middle_of_a_step_is_held_back_like_ctrl_c(uninterrupted, ignoring, tmp_path):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stopped = Regression(at={5: lambda: signal.raise_signal(signal.SIGTERM)})
        loop.run(stopped, tmp_path / "run", steps=9)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(stopped.losses) < 9
    recipe = Regression()
    loop.run(recipe, tmp_path / "run", steps=9)
    assert same(recipe, uninterrupted)


def test_a_run_may_be_in_another_thread(tmp_path):
    recipe = Regression()
    thread = threading.Thread(target=loop.run, args=(recipe, tmp_path), kwargs={"steps": 3})
    thread.start()
    thread.join()
    assert len(recipe.losses) == 3


def test_ctrl_c_saves_says_so_and_returns(tmp_path, capsys):
    loop.run(Regression(at={5: interrupt}), tmp_path, steps=9)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 5
    assert "Stopped at step 5" in capsys.readouterr().out


def test_evaluating_or_logging_does_not_change_the_training(uninterrupted, tmp_path):
    recipe = Regression()
    loop.run(recipe, tmp_path, steps=9, evaluate_every=2, log_every=3, checkpoint_minutes=0)
    assert recipe.evaluated == [2, 4, 6, 8]
    assert same(recipe, uninterrupted)


def test_another_seed_gives_another_run(uninterrupted, tmp_path):
    recipe = Regression()
    loop.run(recipe, tmp_path, steps=9, seed=1)
    assert recipe.losses != uninterrupted.losses


def test_a_finished_run_is_left_as_it_is(tmp_path):
    loop.run(Regression(), tmp_path, steps=4)
    recipe = Regression()
    loop.run(recipe, tmp_path, steps=4)
    assert recipe.losses == []
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4


def test_every_step_of_every_seed_has_its_own_stream():
    drawn = set()
    for seed in (0, 1, 2):
        for step in (0, 1, 50):
            loop.seed_step(seed, step)
            drawn.add(torch.rand(()).item())
    assert len(drawn) == 9


# ------------------------------------------------------------------------------------------- the log


def test_the_log_holds_means_over_the_steps_since_the_last_line(tmp_path):
    recipe = Regression()
    loop.run(recipe, tmp_path, steps=7, log_every=3, evaluate_every=5)
    first, evaluation, second = log(tmp_path)
    assert first["loss"] == pytest.approx(sum(recipe.losses[:3]) / 3)
    assert second["loss"] == pytest.approx(sum(recipe.losses[3:6]) / 3)
    assert (first["images"], second["images"], first["one"]) == (12, 24, 1.0)
    assert evaluation == {"step": 5, "evaluation": {"score": 0.5}}


def test_a_loss_that_only_some_steps_have_is_averaged_over_those(tmp_path):
    class Alternating(Regression):
        def step(self, step):
            losses = super().step(step)
            return losses | ({"late": float(step)} if step % 2 else {})

    loop.run(Alternating(), tmp_path, steps=4, log_every=4)
    (record,) = log(tmp_path)
    assert record["late"] == pytest.approx((1 + 3) / 2)


def test_the_first_means_of_a_resumed_run_are_over_its_own_steps(tmp_path):
    loop.run(Regression(), tmp_path, steps=3, log_every=5)
    loop.run(Regression(), tmp_path, steps=5, log_every=5)
    (record,) = log(tmp_path)
    assert record["one"] == pytest.approx(1.0)


# ------------------------------------------------------------------------------------------- what goes wrong


def poisoned(value, step):
    """A recipe whose weights and loss break at one step, as those of a diverging run do."""
    recipe = Regression()

    def spoil():
        with torch.no_grad():
            for parameter in recipe.model.parameters():
                parameter.fill_(math.nan)
        return value

    recipe.at[step] = spoil
    return recipe


def assert_checkpoint_is_finite(folder):
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in checkpoint["model"].values())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(tmp_path, value):
    loop.run(Regression(), tmp_path, steps=4)
    with pytest.raises(loop.TrainingDiverged, match="still good"):
        loop.run(poisoned(value, 6), tmp_path, steps=20, log_every=2)
    assert_checkpoint_is_finite(tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4


def test_a_loss_that_breaks_before_the_next_log_line_does_not_reach_the_checkpoint(tmp_path):
    with pytest.raises(loop.TrainingDiverged):
        loop.run(poisoned(math.nan, 4), tmp_path, steps=20, log_every=10, checkpoint_minutes=0)
    assert_checkpoint_is_finite(tmp_path)


def test_a_loss_that_breaks_after_the_last_log_line_is_noticed(tmp_path):
    loop.run(Regression(), tmp_path, steps=4)
    with pytest.raises(loop.TrainingDiverged):
        loop.run(poisoned(math.nan, 6), tmp_path, steps=8, log_every=10)
    assert_checkpoint_is_finite(tmp_path)


def test_a_run_that_diverges_before_its_first_checkpoint_does_not_speak_of_one(tmp_path):
    with pytest.raises(loop.TrainingDiverged) as caught:
        loop.run(poisoned(math.nan, 0), tmp_path, steps=4, log_every=1)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert "still good" not in str(caught.value)


def test_a_checkpoint_of_another_recipe_is_refused_and_kept(tmp_path):
    class Other(Regression):
        def state(self):
            return {"generator": self.model}

    loop.run(Other(), tmp_path, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(WeightsError, match=r"another recipe.*generator.*average"):
        loop.run(Regression(), tmp_path, steps=4)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_of_another_size_is_refused_and_kept(tmp_path):
    loop.run(Regression(width=5), tmp_path, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(WeightsError, match="checkpoint"):
        loop.run(Regression(width=3), tmp_path, steps=4)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_damaged_checkpoint_is_named_and_kept(tmp_path):
    loop.run(Regression(), tmp_path, steps=2)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="checkpoint"):
        loop.run(Regression(), tmp_path, steps=4)
    assert path.stat().st_size == 200


@pytest.mark.parametrize(
    "content", [[], 3, {}, {"step": "1"}, {"step": -1}, {"step": True}, {"step": 1, "model": 3}, {"model": {}}]
)
def test_a_file_that_holds_something_else_is_not_a_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is not a checkpoint"):
        loop.run(Regression(), tmp_path, steps=9)


def test_two_processes_never_train_in_one_folder(tmp_path):
    loop.run(Regression(), tmp_path, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with holding(tmp_path / ".lock") as other:
        with pytest.raises(OutputError, match="Another process"):
            loop.run(Regression(), tmp_path, steps=4)
        assert (tmp_path / "checkpoint.pt").read_bytes() == before
        other.kill()
        other.wait()
        loop.run(Regression(), tmp_path, steps=4)
    assert loop.read_checkpoint(tmp_path / "checkpoint.pt")["step"] == 4


def test_a_failing_save_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    loop.run(Regression(), tmp_path, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def half_written(state, path):
        path.write_bytes(b"PK")
        raise OSError("disk full")

    monkeypatch.setattr(loop.torch, "save", half_written)
    with pytest.raises(Exception, match="disk full"):
        loop.run(Regression(), tmp_path, steps=4)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_leaves_no_other_file(tmp_path):
    loop.run(Regression(), tmp_path, steps=2, log_every=1, checkpoint_minutes=0)
    assert {path.name for path in tmp_path.iterdir()} - {"tensorboard"} == {"checkpoint.pt", "log.jsonl"}


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_an_error(tmp_path, steps):
    with pytest.raises(SettingsError, match=str(steps)):
        loop.run(Regression(), tmp_path / "run", steps=steps)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------- what ends a run


class Collapsing(Regression):
    """A run that learns nothing in the log windows that `dead` names, counted from 1."""

    def __init__(self, dead, **options):
        super().__init__(**options)
        self.dead, self.windows = dead, 0

    def collapse(self, means):
        self.windows += 1
        return "It always wins." if self.windows in self.dead else None


def test_two_dead_windows_in_a_row_end_the_run_and_keep_the_checkpoint_from_before(tmp_path):
    with pytest.raises(loop.TrainingDiverged, match=r"always wins.*still good"):
        loop.run(Collapsing({3, 4}), tmp_path, steps=20, log_every=2, checkpoint_minutes=0)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 5


def test_one_dead_window_is_forgiven(tmp_path):
    loop.run(Collapsing({2, 4}), tmp_path, steps=12, log_every=2)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 12


def test_weights_that_are_no_numbers_never_replace_a_checkpoint(tmp_path):
    recipe = Regression()
    loop.run(recipe, tmp_path, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    recipe.at = {2: lambda: [nn.init.constant_(recipe.model[0].weight, math.nan), None][1]}
    with pytest.raises(loop.TrainingDiverged, match=r"model.*not finite.*still good"):
        loop.run(recipe, tmp_path, steps=3)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_full_disk_while_saving_leaves_the_old_checkpoint(tmp_path):
    """The limit on the size of files makes a real write fail half-way, as a full disk does."""
    loop.run(Regression(), tmp_path, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
        with pytest.raises(OutputError, match=r"checkpoint\.pt"):
            loop.save_checkpoint(Regression(), tmp_path, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob("*partial*"))


# ------------------------------------------------------------------------------------------- the journal


def test_tensorboard_gets_every_number_and_the_grid_of_pictures(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Journal(tmp_path, batch_size=4) as journal:
        journal.scalars(10, {"loss": 2.0})
        Image.new("RGB", (8, 8), "red").save(tmp_path / "grid-000010.png")
        journal.evaluation(10, {"score": 0.5})
    board = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("train/loss")] == [(10, 2.0)]
    assert [(e.step, e.value) for e in board.Scalars("evaluation/score")] == [(10, 0.5)]
    assert board.Tags()["images"] == ["grid"]


def test_of_several_processes_one_writes(tmp_path):
    with Journal(tmp_path, batch_size=4, write=False) as journal:
        assert list(journal.watched(range(3))) == [0, 1, 2]
        journal.scalars(1, {"loss": 2.0}), journal.evaluation(1, {"score": 0.5}), journal.say("nothing")
    assert list(tmp_path.iterdir()) == []


def test_the_bar_counts_pictures(tmp_path, capsys):
    with Journal(tmp_path, batch_size=7) as journal:
        list(journal.watched(range(2, 5)))
    assert "35/35" in capsys.readouterr().err


def test_a_run_whose_time_is_up_is_saved_and_goes_on_exactly(tmp_path):
    whole, parted = Regression(), Regression()
    loop.run(whole, tmp_path / "whole", steps=6)
    over = Regression(at={2: lambda: time.sleep(0.3)})
    loop.run(over, tmp_path / "parted", steps=6, deadline=time.monotonic() + 0.2)
    done = loop.read_checkpoint(tmp_path / "parted" / "checkpoint.pt")["step"]
    assert 0 < done < 6
    loop.run(parted, tmp_path / "parted", steps=6, deadline=time.monotonic() + 600)
    assert all(torch.equal(*pair) for pair in zip(whole.tensors(), parted.tensors(), strict=True))


def test_no_time_at_all_leaves_a_run_that_can_be_gone_on_with(tmp_path):
    loop.run(Regression(), tmp_path, steps=2, deadline=time.monotonic())
    assert loop.read_checkpoint(tmp_path / "checkpoint.pt")["step"] == 0
