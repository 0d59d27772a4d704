"""Finding axes: by regressing scores on latents, from a generator's weights alone, or from its activations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from telephonegan import inference
from telephonegan.errors import DataError, SettingsError
from telephonegan.generation import Generator
from telephonegan.latent.axes import AxisSet, normalise, r_squared, regress
from telephonegan.latent.features import Features, read_scores
from telephonegan.zoo import catalogue

METHODS = ("linear", "tanh", "svm")
_BATCH = 64
_EXTREMES = 0.1  # share of the samples at either end that a support vector machine separates
_WITHIN = ("noise", "eps")  # parts that a seed draws; the others follow from the text


def loaded(generator: Generator | str, device: str | torch.device = "auto") -> Generator:
    """The generator itself, or the shared one of that name. Raises UnknownModelError, WeightsError, SettingsError."""
    if isinstance(generator, Generator):
        return generator
    return inference.shared_model(Generator, catalogue.find("generator", generator), inference.resolve_device(device))


def parts_of(generator: Generator) -> dict[str, int]:
    """The parts of its latents that axes can be found in, and their widths.

    >>> parts_of(Generator.load("flickr8k"))  # doctest: +SKIP
    {'noise': 100, 'eps': 100, 'condition': 100, 'sentence': 256}
    """
    return {**generator.painter.latent_widths, **generator.painter.offset_widths}


def find_axes(
    generator: Generator | str,
    features: Features | Sequence[str] | str | os.PathLike[str] | Callable[[Tensor], Tensor] | None = None,
    n: int = 20_000,
    *,
    names: Sequence[str] | None = None,
    extractor: str | None = None,
    part: str = "noise",
    method: str = "linear",
    texts: str | Sequence[str] = "",
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> AxisSet:
    """Paint `n` random pictures, score them, and find the direction in the latents along which each score grows.

    - `features`: names of measures and of the `extractor`'s features, or None for all of both; or a `Features`; or any
      callable (B,3,H,W) → (B,k), with `names`; or the path of a CSV of scores by seed, see `features.read_scores`.
    - `method`: "linear" least squares, "tanh" (scores in [-1,1], through the inverse tanh), or "svm": the normal of a
      linear support vector machine between the tenths with the lowest and the highest scores (Shen et al.,
      "Interpreting the Latent Space of GANs for Semantic Face Editing", 2020).
    - `part`: "noise"; for generators that paint texts also "eps", "condition" and "sentence". `texts` are the captions
      that the samples take in turn. For "noise" and "eps" each caption's mean is subtracted, so that what captions say
      does not count; "condition" and "sentence" need many captions.
    - `seed` is that of the first sample. A tenth is held out to measure R²; of "sentence", a tenth of the captions.

    Raises SettingsError, DataError for scores that are not finite, TextError, UnknownModelError, WeightsError.

    >>> axes = find_axes("faces", extractor="faces", n=20_000)  # doctest: +SKIP
    >>> dict(zip(axes.names, axes.r2))  # doctest: +SKIP
    """
    generator = loaded(generator, device)
    if method not in METHODS:
        raise SettingsError(f"method is one of {', '.join(METHODS)}; {method!r} was given.")
    captions, scorer = _captions(generator, texts, part), None
    if isinstance(features, str | os.PathLike) and Path(features).suffix.lower() in (".csv", ".tsv", ".txt"):
        seeds, names, scores = read_scores(features)
        codes = torch.cat([codes for codes, _ in sampled(generator, seeds, captions, part, paint=False)])
    else:
        scorer = _scorer(features, names, extractor, generator.device)
        n = inference.check_whole(n, "n", 20, 10_000_000)
        seeds = range(inference.check_seed(seed), seed + n)
        parts = list(_scored(generator, seeds, captions, part, scorer, progress))
        codes, scores, names = torch.cat([c for c, _ in parts]), torch.cat([s for _, s in parts]), scorer.names
    groups = np.arange(len(scores)) % len(captions)
    found = axes_of_scores(codes.numpy(), scores.numpy(), names, method=method, groups=groups, within=part in _WITHIN)
    return AxisSet(
        **found,
        part=part,
        generator=generator.name,
        sha256=generator.sha256,
        method=method,
        samples=len(scores),
        seed=seeds[0],
        text=captions[0] if len(captions) == 1 else f"{len(captions)} captions",
        extractor=scorer.extractor if scorer else "",
        ends=scorer.ends if scorer else {},
    )


def axes_of_scores(
    codes: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    *,
    method: str = "linear",
    groups: np.ndarray | None = None,
    within: bool = True,
) -> dict[str, Any]:
    """The arrays of an `AxisSet` from codes (n,d) and scores (n,k): axes, scale, r2, centre, spread, correlation.

    Rows of one group share a caption; `within` subtracts its mean. Without it the codes follow from the captions, and
    some directions hardly occur: coefficients lean towards these, where a step leads nowhere that a caption does. The
    axis is then how the codes change with the foretold score (Haufe et al., "On the interpretation of weight vectors of
    linear models in multivariate neuroimaging", 2014). The last tenth, of the rows or else of the groups, is held out.
    Raises DataError for scores that are not finite, SettingsError if all are constant.
    """
    codes, scores = np.asarray(codes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"The score {names[column]!r} of sample {row} is {scores[row, column]}, and {int(bad.sum())} scores in all "
            "are not finite. Leave those samples out, or mend the function that scores."
        )
    groups = np.zeros(len(codes), dtype=int) if groups is None else groups
    centre, spread = scores.mean(0), scores.std(0)
    constant = spread < 1e-6 * np.maximum(1.0, np.abs(centre))
    if constant.all():
        raise SettingsError(f"The scores of {', '.join(names)} are constant: there is nothing to find an axis for.")
    several = groups.max() > 0
    if within or not several:
        held_out = np.arange(len(codes)) >= len(codes) - max(2, len(codes) // 10)
    else:
        held_out = groups >= groups.max() + 1 - max(1, (groups.max() + 1) // 10)
    if within and several:
        codes, scores = _without_means(codes, groups), _without_means(scores, groups) + centre
    coefficients, intercepts = regress(codes[~held_out], scores[~held_out])
    r2 = r_squared(codes[held_out], scores[held_out], coefficients, intercepts)
    if method == "tanh":
        coefficients, intercepts = regress(codes[~held_out], scores[~held_out], method="tanh")
        fitted = np.tanh(codes[held_out] @ coefficients + intercepts)
        r2 = 1 - ((scores[held_out] - fitted) ** 2).sum(0) / np.maximum(
            ((scores[held_out] - scores[held_out].mean(0)) ** 2).sum(0), 1e-12
        )
    if method == "svm":
        coefficients = np.stack([svm_normal(codes[~held_out], each) for each in scores[~held_out].T], 1)
    if not within:
        coefficients = np.cov(codes.T) @ coefficients
    axes = normalise(np.where(constant, 0.0, coefficients))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(np.corrcoef(scores.T).reshape(len(names), len(names)))
    return {
        "names": tuple(names),
        "axes": axes,
        "scale": np.where(constant, 1.0, np.maximum((codes @ axes).std(0), 1e-12)),
        "r2": np.where(constant, 0.0, r2),
        "centre": centre,
        "spread": np.where(constant, 1.0, spread),
        "correlation": correlation,
    }


def svm_normal(codes: np.ndarray, scores: np.ndarray, *, steps: int = 300) -> np.ndarray:
    """The unit normal (d,) of a linear support vector machine between the lowest and highest tenth of the scores."""
    order = np.argsort(scores, kind="stable")
    count = max(2, int(len(order) * _EXTREMES))
    chosen = np.concatenate([order[:count], order[-count:]])
    x = torch.from_numpy(codes[chosen] - codes[chosen].mean(0))
    y = torch.cat([-torch.ones(count), torch.ones(count)]).double()
    w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([w, b], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        # The squared hinge is smooth, which L-BFGS needs.
        loss = torch.relu(1 - y * (x @ w + b)).square().mean() + 1e-3 * w.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return normalise(w.detach().numpy()[:, None])[:, 0]


# ---------------------------------------------------------------------------------------------------- samples


@torch.inference_mode()
def sampled(
    generator: Generator, seeds: Sequence[int], captions: Sequence[str], part: str, *, paint: bool = True
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Batches of codes (B,d) of one part, on the CPU, and pictures (B,3,H,W) in [-1,1], or None without `paint`.

    Sample i is drawn by seeds[i] and has the caption i modulo their number.
    """
    encoded = [generator.encode(caption) for caption in captions]
    for start in range(0, len(seeds), _BATCH):
        rows = range(start, min(start + _BATCH, len(seeds)))
        latents = generator.latents([seeds[row] for row in rows])
        read = generator.painter.read([encoded[row % len(encoded)] for row in rows])
        codes = _codes(generator, latents, read, part).float().cpu()
        images = generator.painter.paint(latents, read)[0][-1].float() if paint else None
        yield codes.clone(), images


def _codes(generator: Generator, latents: dict[str, Tensor], read: Any, part: str) -> Tensor:
    if part in latents:
        return latents[part]
    if part == "sentence":
        return read.sentences
    return generator.painter.network.ca_net(read.sentences, latents["eps"])[0]


def _scored(
    generator: Generator, seeds: Sequence[int], captions: Sequence[str], part: str, scorer: Features, progress: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    from tqdm.auto import tqdm

    with tqdm(total=len(seeds), desc="pictures", unit="img", disable=not progress, mininterval=1) as bar:
        for codes, images in sampled(generator, seeds, captions, part):
            with torch.inference_mode():
                yield codes, scorer(images).float().cpu().clone()
            bar.update(len(codes))


def _scorer(features: Any, names: Sequence[str] | None, extractor: str | None, device: torch.device) -> Features:
    if isinstance(features, Features):
        return features
    if callable(features):
        return Features(names, function=features)
    wanted = [features] if isinstance(features, str) else features
    return Features(wanted if wanted is not None else names, extractor=extractor, device=device)


def _captions(generator: Generator, texts: str | Sequence[str], part: str) -> list[str]:
    known = parts_of(generator)
    if part not in known:
        raise SettingsError(f"{generator.name!r} has no latents {part!r}. Axes can be found in {', '.join(known)}.")
    captions = [texts] if isinstance(texts, str) else list(texts)
    if not captions:
        raise SettingsError("texts is empty. Give one caption or more.")
    for caption in captions:
        generator.encode(caption)
    if part == "sentence" and len(set(captions)) < 20:
        raise SettingsError(f"Axes in the sentence embedding need at least 20 captions; {len(captions)} were given.")
    return captions


def _without_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    counts = np.bincount(groups)[:, None]
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, groups, values)
    return values - (sums / np.maximum(counts, 1))[groups]


# ---------------------------------------------------------------------------------------------------- without scores


def sefa(generator: Generator | str, k: int = 10, *, part: str = "noise", device: str = "auto") -> AxisSet:
    """The `k` directions that change the first layer's output most, found from its weights alone.

    Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (2021): the eigenvectors of the first linear
    map, its batch norm included, with the largest eigenvalues first. Raises SettingsError for a part that does not
    enter the first layer.

    >>> sefa("faces", 5).names  # doctest: +SKIP
    ('sefa 1', 'sefa 2', 'sefa 3', 'sefa 4', 'sefa 5')
    """
    generator = loaded(generator, device)
    weight = first_layer(generator, part)
    k = inference.check_whole(k, "k", 1, weight.shape[1])
    values, vectors = np.linalg.eigh((weight.T @ weight).double().cpu().numpy())
    order = np.argsort(values)[::-1][:k]
    return _unscored(generator, part, "sefa", _signed(vectors[:, order]), np.ones(k))


def first_layer(generator: Generator, part: str) -> Tensor:
    """The first linear map (out,d) from one part of the latents, with each output's batch norm folded in."""
    network = generator.painter.network
    parts = parts_of(generator)
    if part == "noise" and hasattr(network, "first_linear"):
        return network.first_linear()
    first = getattr(getattr(network, "h_net1", network), "fc", None)
    if first is None:
        raise SettingsError(f"{generator.name!r} does not begin with a linear layer. Use find_axes.")
    layer, norm = (first[0], first[1]) if isinstance(first, nn.Sequential) else (first, None)
    columns = {"noise": slice(-parts["noise"], None), "condition": slice(0, parts.get("condition", 0))}
    columns["eps"] = columns["condition"]
    if part not in columns or (part != "noise" and layer.in_features == parts["noise"]):
        raise SettingsError(f"{part!r} does not enter the first layer of {generator.name!r}. Use part='noise'.")
    weight = layer.weight[:, columns[part]]
    if not isinstance(norm, nn.BatchNorm1d):  # there is none, or it is part of the weight already
        return weight
    return weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None]


def ganspace(
    generator: Generator | str,
    k: int = 10,
    n: int = 10_000,
    *,
    text: str = "",
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> AxisSet:
    """The `k` directions of noise along which the first stage's activations vary most.

    Härkönen et al., "GANSpace: Discovering Interpretable GAN Controls" (2020): principal components of the activations
    of `n` random samples, then least squares from the components to the noise. Raises SettingsError.
    """
    from tqdm.auto import tqdm

    generator = loaded(generator, device)
    captions, layer = _captions(generator, text, "noise"), _first_activations(generator)
    k = inference.check_whole(k, "k", 1, parts_of(generator)["noise"])
    n = inference.check_whole(n, "n", 10 * k, 1_000_000)
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, given, output: seen.append(_reduced(output)))
    codes = []
    try:
        batches = sampled(generator, range(seed, seed + n), captions, "noise")
        for batch, _ in tqdm(batches, desc="activations", total=-(-n // _BATCH), disable=not progress, mininterval=1):
            codes.append(batch)
    finally:
        handle.remove()
    activations, z = torch.cat(seen).double().cpu(), torch.cat(codes).double()
    activations -= activations.mean(0)
    values, vectors = torch.linalg.eigh(activations.T @ activations / len(z))
    components = activations @ vectors[:, -k:].flip(1) / values[-k:].flip(0).clamp_min(1e-12).sqrt()
    directions = torch.linalg.lstsq(components, z - z.mean(0)).solution.T.numpy()
    return _unscored(generator, "noise", "ganspace", _signed(normalise(directions)), np.ones(k), samples=n, seed=seed)


def _first_activations(generator: Generator) -> nn.Module:
    network = generator.painter.network
    found = getattr(getattr(network, "h_net1", network), "fc", None) or getattr(network, "first", None)
    if found is None:
        raise SettingsError(f"{generator.name!r} has no first layer that is known here. Use find_axes.")
    return found


_MOST_ACTIVATIONS = 1024


def _reduced(output: Tensor) -> Tensor:
    """Activations as (B,F) with at most 1024 columns, evenly chosen: components of all would take hours."""
    flat = output.float().flatten(1)
    return flat[:, :: -(-flat.shape[1] // _MOST_ACTIVATIONS)].clone()


def _signed(directions: np.ndarray) -> np.ndarray:
    """Each column with its largest entry positive: eigenvectors come with either sign."""
    largest = np.abs(directions).argmax(0)
    return directions * np.sign(directions[largest, np.arange(directions.shape[1])])


def _unscored(
    generator: Generator, part: str, method: str, directions: np.ndarray, scale: np.ndarray, **told: Any
) -> AxisSet:
    names = tuple(f"{method} {number}" for number in range(1, directions.shape[1] + 1))
    model = {"generator": generator.name, "sha256": generator.sha256}
    return AxisSet(names, directions, scale, part=part, method=method, **model, **told)
