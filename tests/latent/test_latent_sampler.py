"""The sampler: its update rule by hand, its schedule, and what it keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.inference import derived_seed, random_generator
from telephonegan.latent.conditions import Judgement, Score
from telephonegan.latent.inpainting import Hole
from telephonegan.latent.priors import GaussianPrior, JointPrior
from telephonegan.latent.sampler import Sampler, SamplerSettings
from tests.toys import ToyDecoder, toy_class

QUIET = {"progress": False}


def sampler_of(*conditions, decoder=None, **how):
    return Sampler(decoder or ToyDecoder(), list(conditions) or [toy_class()], **how)


def mean_change(before, after):
    return (after.vectors - before.vectors).abs().mean(1)


def test_one_step_is_what_numpy_computes_by_hand():
    decoder = ToyDecoder(linear=True)
    matrix, target = decoder.matrix.numpy().astype(np.float64), np.linspace(-1, 1, 3 * 8 * 8)
    condition = Score(lambda images: (images.flatten(1) * torch.tensor(target)).sum(1))
    hole = Hole.box(np.full((8, 8, 3), 200, np.uint8), 8, (2, 2, 6, 7))
    sampler = Sampler(
        decoder,
        condition,
        prior=JointPrior(decoder.encode),
        hole=hole,
        epsilon1=0.3,
        epsilon2=0.7,
        epsilon3=0.01,
        epsilon4=0.2,
        lr=0.1,
    )
    state = sampler.start([5])
    moved, _ = sampler.advance(state)

    h = state.vectors[0].numpy().astype(np.float64)
    photo, mask = hole.image.numpy().ravel(), np.broadcast_to(hole.mask.numpy(), (1, 3, 8, 8)).ravel()
    painted = h @ matrix
    shown = np.where(mask, painted, photo)
    prior = shown @ matrix.T / 8 - h
    condition_gradient = matrix @ (target * mask)
    context_gradient = matrix @ ((photo - painted) * ~mask)
    noise = torch.randn(6, generator=random_generator(derived_seed(5, 0))).numpy()
    d = 0.3 * prior + 0.7 * condition_gradient + 0.2 * context_gradient + 0.01 * noise
    expected = np.clip(h + 0.1 * d / np.abs(d).mean(), -3, 3)
    np.testing.assert_allclose(moved.vectors[0].numpy(), expected, atol=1e-5)


def test_the_condition_alone_moves_along_its_own_gradient():
    decoder, condition = ToyDecoder(linear=True), toy_class(objective="logit")
    sampler = sampler_of(condition, decoder=decoder, epsilon1=0.0, lr=0.5)
    state = sampler.start([0])
    moved, _ = sampler.advance(state)
    rows = state.vectors.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(condition(decoder(rows)).objective.sum(), rows)
    expected = (state.vectors + 0.5 * gradient / gradient.abs().mean()).clamp(-3, 3)
    torch.testing.assert_close(moved.vectors, expected)


def test_the_mean_change_of_a_coordinate_is_the_step():
    sampler = sampler_of(lr=0.01, prior=GaussianPrior(), epsilon1=0.1)
    state = sampler.start([0, 1, 2], torch.zeros(6))
    moved, _ = sampler.advance(state)
    torch.testing.assert_close(mean_change(state, moved), torch.full((3,), 0.01))


def test_vectors_stay_within_the_codes_of_real_pictures():
    sampling = sampler_of(lr=5.0, n_iters=5).run(**QUIET)
    assert sampling.state.vectors.abs().max() == 3


@pytest.mark.parametrize("objective", ["paper", "logsoftmax", "logit"])
def test_the_probability_of_the_target_rises(objective):
    sampling = sampler_of(toy_class(objective=objective), n_iters=50, lr=0.05).run([0, 1], **QUIET)
    assert (np.array(sampling.probabilities)[-1] > 2 * np.array(sampling.probabilities)[0]).all()


def test_the_generator_paints_once_per_step():
    decoder = ToyDecoder()
    sampling = sampler_of(decoder=decoder, prior=JointPrior(decoder.encode), n_iters=7).run(**QUIET)
    assert decoder.calls == 8 and sampling.is_finished


@pytest.mark.parametrize(("conditions", "every", "expected"), [(1, 5, [0, 5, 10]), (2, 4, [0, 4, 8, 12, 16, 20])])
def test_there_is_one_step_more_than_iterations_and_every_so_manieth_is_kept(conditions, every, expected):
    sampler = sampler_of(*[toy_class(unit) for unit in range(conditions)], n_iters=10, save_every=every)
    sampling = sampler.run(**QUIET)
    assert sampler.steps == 10 * conditions + 1 == len(sampling.probabilities)
    assert [frame.step for frame in sampling.frames] == expected
    assert sampling.last().step == 10 * conditions


def test_the_next_condition_follows_after_its_own_share_of_steps():
    sampling = sampler_of(toy_class(0), toy_class(1), n_iters=3, save_every=1, threshold=-1).run(**QUIET)
    assert [frame.label for frame in sampling.frames] == ["class 0"] * 4 + ["class 1"] * 3


def test_the_step_goes_from_lr_to_lr_end_within_each_condition():
    sampling = sampler_of(toy_class(0), toy_class(1), n_iters=4, lr=1.0, lr_end=0.2, save_every=1, threshold=-1).run(
        **QUIET
    )
    assert [frame.lr for frame in sampling.frames] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.8, 0.6, 0.4, 0.2])


def test_only_pictures_above_the_threshold_are_kept():
    sampling = sampler_of(n_iters=40, lr=0.05, save_every=1, threshold=0.5).run([0, 1], **QUIET)
    kept = {(frame.seed, frame.step) for frame in sampling.frames}
    chances = np.array(sampling.probabilities)
    assert kept == {(seed, int(step)) for step, seed in zip(*np.nonzero(chances > 0.5), strict=True)}
    assert 0 < len(kept) < 82


def test_a_frame_holds_what_its_picture_was_made_of():
    decoder, condition = ToyDecoder(), toy_class()
    frame = sampler_of(condition, decoder=decoder, n_iters=6, save_every=3, epsilon1=0.0).run([4], **QUIET).frames[1]
    painted = decoder(torch.tensor(frame.vector)[None])
    pixels = ((painted[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(np.asarray(frame.image), pixels)
    assert condition(painted).probability.item() == pytest.approx(frame.probability, abs=1e-6)
    record = frame.record()
    assert np.array_equal(np.float32(record["h"]), frame.vector)
    assert (record["seed"], record["step"], record["epsilon2"], record["label"]) == (4, 3, 1.0, "class 2")


def test_several_seeds_together_give_what_each_gives_alone():
    how = dict(n_iters=12, reset_every=5, epsilon3=0.02, noise_rel=0.1, epsilon1=0.3, lr=0.05, prior=GaussianPrior())
    together = sampler_of(**how).run([3, 1, 8, 5], **QUIET)
    for seed in (3, 1, 8, 5):
        alone = sampler_of(**how).run([seed], **QUIET)
        np.testing.assert_allclose(together.last(seed).vector, alone.last(seed).vector, atol=1e-4)
        assert together.last(seed).epsilon1 == alone.last(seed).epsilon1


def test_a_chain_that_was_interrupted_ends_as_if_it_had_not_been():
    how = dict(n_iters=9, reset_every=4, noise_rel=0.2, save_every=2, lr=0.1)
    whole = sampler_of(toy_class(0), toy_class(1), **how).run([2, 7], **QUIET)

    def stop(sampling):
        if sampling.state.step == 7:
            raise KeyboardInterrupt

    sampler = sampler_of(toy_class(0), toy_class(1), **how)
    part = sampler.run([2, 7], on_step=stop, **QUIET)
    assert not part.is_finished and part.state.step == 7 and part.last(2).step == 6
    resumed = sampler.run(after=part, **QUIET)
    assert resumed.is_finished and resumed.probabilities == whole.probabilities
    for one, other in zip(resumed.frames, whole.frames, strict=True):
        assert one.record() == other.record()


def test_chains_in_parts_are_the_same_chains():
    how = dict(n_iters=5, reset_every=3, noise_rel=0.2, save_every=1, threshold=-1, lr=0.1)
    whole = sampler_of(**how).run([2, 7], **QUIET)
    sampler, steps = sampler_of(**how), []
    parts = sampler.run([2, 7], most=4, **QUIET)
    while not parts.is_finished:
        steps.append(parts.state.step)
        parts = sampler.run(after=parts, most=1, **QUIET)
    assert steps == [4, 5] and parts.probabilities == whole.probabilities
    assert [one.record() for one in parts.frames] == [other.record() for other in whole.frames]
    assert parts.last(7).record() == whole.last(7).record()
    with pytest.raises(SettingsError, match="most must be"):
        sampler.run([2], most=0, **QUIET)


def test_a_reset_draws_a_new_vector_and_epsilon1_that_last_until_the_next():
    sampling = sampler_of(n_iters=9, reset_every=3, save_every=1, threshold=-1, lr=1e-6).run(**QUIET)
    epsilons = [frame.epsilon1 for frame in sampling.frames]
    assert epsilons[:4] == [pytest.approx(1e-5)] * 4 and len(set(epsilons[4:7])) == 1 != len(set(epsilons))
    assert all(1e-6 <= epsilon <= 1e-2 for epsilon in epsilons)
    steps = [np.abs(b.vector - a.vector).mean() for a, b in zip(sampling.frames, sampling.frames[1:], strict=False)]
    assert [step > 0.1 for step in steps] == [False, False, False, True, False, False, True, False, False]


def test_equal_noise_for_equal_seeds_and_none_by_default():
    still = sampler_of(n_iters=3).run([1], **QUIET).last().vector
    one, other = (sampler_of(n_iters=3, noise_rel=0.5).run([1], **QUIET).last().vector for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.allclose(one, still, atol=1e-3)


def test_the_prior_gets_no_path_for_gradients():
    seen = []

    def encode(images):
        seen.append(images.requires_grad)
        return ToyDecoder().encode(images)

    prior = JointPrior(encode)
    sampler_of(prior=prior, n_iters=2, epsilon1=0.5).run(**QUIET)
    codes = torch.zeros(1, 6, requires_grad=True)
    assert seen == [False] * 3 and not prior(codes, ToyDecoder()(codes)).requires_grad


def breaking(at_step, row, value):
    """A condition whose gradient is damaged for one row from a step on."""
    steps = iter(range(1000))

    def score(images):
        weight = torch.ones(len(images))
        if next(steps) >= at_step:
            weight[row] = value
        return images.mean((1, 2, 3)) * weight

    return Score(score)


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "not finite"), (0.0, "gradient is zero")])
def test_a_damaged_gradient_ends_its_chain_alone_and_keeps_its_frames(value, reason):
    sampler = sampler_of(breaking(4, 1, value), n_iters=6, save_every=1, threshold=-1, epsilon1=0.0)
    with pytest.warns(UserWarning, match=rf"seed 9 ended early, at step 4: .*{reason}"):
        sampling = sampler.run([7, 9], **QUIET)
    assert [frame.step for frame in sampling.of(7)] == list(range(7))
    assert [frame.step for frame in sampling.of(9)][:4] == list(range(4)) and sampling.last(9).step in (3, 4)
    assert list(sampling.stopped) == [9] and np.isfinite(sampling.state.vectors.numpy()).all()


def test_chains_in_parts_warn_once_of_one_that_ends_and_need_no_further_part_without_any():
    sampler = sampler_of(breaking(2, 0, 0.0), n_iters=9, epsilon1=0.0)
    with pytest.warns(UserWarning, match="seed 7 ended early") as told:
        part = sampler.run([7], most=4, **QUIET)
        assert part.is_finished and sampler.run(after=part, most=4, **QUIET).is_finished
    assert len(told) == 1


def test_a_picture_that_is_not_finite_is_not_kept():
    class Diverging(ToyDecoder):
        def __call__(self, codes):
            return super().__call__(codes) * (float("nan") if self.calls > 4 else 1.0)

    with pytest.warns(UserWarning, match="step 4: the gradient is not finite"):
        sampling = sampler_of(decoder=Diverging(), n_iters=6, save_every=1, threshold=-1).run(**QUIET)
    assert sampling.last().step == 3 and len(sampling.frames) == 4


def test_known_pixels_around_a_hole_are_untouched_to_the_bit():
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    hole = Hole.box(photo, 8, (1, 2, 6, 5), feather=1)
    last = sampler_of(hole=hole, n_iters=5, epsilon4=0.1).run(**QUIET).last()
    outside = ~hole.mask[0, 0].numpy()
    np.testing.assert_array_equal(np.asarray(last.image)[outside], photo[outside])
    assert (np.asarray(last.image)[~outside] != photo[~outside]).any()


def test_the_context_pulls_the_painted_surroundings_towards_the_photograph():
    photo = np.full((8, 8, 3), 230, np.uint8)
    hole = Hole.box(photo, 8, (3, 3, 5, 5))
    decoder = ToyDecoder()

    def distance(epsilon4):
        sampler = sampler_of(decoder=decoder, hole=hole, epsilon2=0.01, epsilon4=epsilon4, n_iters=40, lr=0.05)
        found = sampler.run(**QUIET).last().vector
        return -hole.agreement(decoder(torch.tensor(found)[None])).item()

    assert distance(1.0) < 0.8 * distance(0.0)


def test_a_chain_without_a_best_guess_is_told_too():
    class Even(Score):
        def __call__(self, images):
            return Judgement(images.mean((1, 2, 3)), torch.full((len(images),), 0.5))

    assert sampler_of(Even(lambda images: images), n_iters=1, save_every=1).run(**QUIET).frames[0].best is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n_iters": 0}, "n_iters must be a whole number from 1"),
        ({"lr": -1}, "lr must be a number from 0"),
        ({"lr": float("nan")}, "lr must be a number from 0"),
        ({"epsilon1": "x"}, "epsilon1 must be a number"),
        ({"threshold": 2}, "threshold is a probability"),
        ({"epsilon": 1}, "no setting 'epsilon'.*epsilon1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(SettingsError, match=told):
        sampler_of(**settings)


@pytest.mark.parametrize("start", [np.zeros(5), np.zeros((2, 6)), np.full(6, np.nan)])
def test_a_start_that_does_not_fit_is_refused(start):
    with pytest.raises(SettingsError, match="start"):
        sampler_of().start([0, 1, 2], start)


def test_chains_of_another_generator_do_not_go_on():
    sampler = sampler_of()
    part = sampler.run([0], most=1, **QUIET)
    part.state = replace(part.state, vectors=torch.zeros(1, 5))
    with pytest.raises(SettingsError, match=r"vectors of 5 numbers, those of '.*' have 6"):
        sampler.run(after=part, **QUIET)


def test_seeds_must_differ_and_there_must_be_one():
    for seeds in ([], [1, 1], [-1]):
        with pytest.raises(SettingsError, match="seed"):
            sampler_of().start(seeds)


def test_a_hole_in_a_photograph_of_another_size_is_refused():
    hole = Hole.box(np.zeros((16, 16, 3), np.uint8), 16, (1, 1, 5, 5))
    with pytest.raises(SettingsError, match="16 pixels; 'toy' paints 8"):
        sampler_of(hole=hole)


def test_a_condition_without_gradients_is_refused_in_words():
    with pytest.raises(SettingsError, match="'mine' lets no gradient through"):
        sampler_of(Score(lambda images: images.detach().mean((1, 2, 3)), label="mine")).run(**QUIET)


def test_settings_are_recorded():
    assert SamplerSettings(lr=2).record()["lr"] == 2.0
