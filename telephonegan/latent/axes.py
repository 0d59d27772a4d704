"""Axes in the latent space of a generator: one direction for each feature that pictures can have.

After Guan, "Transparent latent-space GAN" (2018): score many painted pictures, regress the scores on the latent
vectors, and walk along the coefficients. Axes of different features are correlated; to hold a feature while another
moves, its axis is projected out.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from telephonegan.errors import DataError, SettingsError, WeightsError, unknown_setting
from telephonegan.files import check_free, json_bytes, write_new
from telephonegan.records import checked, read_json

SPANNED = 1e-6  # a residual this small, relative to its axis, is rounding: the axis lies within the locked ones
_TANH_3 = float(np.tanh(3.0))
_FORMAT = 1


# ---------------------------------------------------------------------------------------------------- vectors


def normalise(axes: np.ndarray) -> np.ndarray:
    """Columns of (d,k) at unit length; zero columns stay zero.

    >>> normalise(np.array([[3.0, 0.0], [4.0, 0.0]]))
    array([[0.6, 0. ],
           [0.8, 0. ]])
    """
    lengths = np.linalg.norm(axes, axis=0)
    return axes / np.where(lengths > 0, lengths, 1.0)


def gram_schmidt(axes: np.ndarray) -> np.ndarray:
    """The columns of (d,k) made orthogonal in their order, not normalised, as the original does.

    A column within the span of those before it becomes zero.

    >>> gram_schmidt(np.array([[1.0, 1.0], [0.0, 1.0]]))
    array([[1., 0.],
           [0., 1.]])
    """
    done = np.array(axes, dtype=np.float64)
    for column in range(done.shape[1]):
        for before in range(column):
            length = done[:, before] @ done[:, before]
            if length > 0:
                done[:, column] -= done[:, before] * (done[:, before] @ done[:, column]) / length
        if np.linalg.norm(done[:, column]) < SPANNED * np.linalg.norm(axes[:, column]):
            done[:, column] = 0.0
    return done


def disentangle(axes: np.ndarray, locked: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Unit axes (d,k) with the span of the `locked` columns projected out of all others, and which are disabled (k,).

    The projection does not depend on the order of the locked columns. Columns that lie within their span, up to 1e-6 of
    their length, become zero and are disabled. The locked ones become orthogonal among themselves, in the order given,
    as in the original; nothing locked leaves the axes as they are, at unit length.

    >>> axes = np.array([[1.0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
    >>> disentangle(axes, [0])[0].round(4)
    array([[1.    , 0.    , 0.    ],
           [0.    , 1.    , 0.7071],
           [0.    , 0.    , 0.7071],
           [0.    , 0.    , 0.    ]])
    """
    result = np.array(axes, dtype=np.float64)
    rest = [column for column in range(result.shape[1]) if column not in set(locked)]
    if len(locked):
        base = result[:, list(dict.fromkeys(locked))]
        kept = base[:, np.linalg.norm(base, axis=0) > 0]
        u, s, _ = np.linalg.svd(normalise(kept), full_matrices=False)
        u = u[:, s > 1e-9]
        result[:, rest] -= u @ (u.T @ result[:, rest])
        result[:, list(dict.fromkeys(locked))] = gram_schmidt(base)
    lengths, before = np.linalg.norm(result, axis=0), np.linalg.norm(axes, axis=0)
    disabled = (lengths < SPANNED * before) | (before == 0)
    result[:, disabled] = 0.0
    return normalise(result), disabled


def atanh_clipped(scores: np.ndarray) -> np.ndarray:
    """The inverse hyperbolic tangent of scores in [-1,1], limited to ±3."""
    return np.arctanh(np.clip(scores, -_TANH_3, _TANH_3))


def regress(codes: np.ndarray, scores: np.ndarray, *, method: str = "linear") -> tuple[np.ndarray, np.ndarray]:
    """Least squares with intercept: codes (n,d), scores (n,k) → coefficients (d,k) and intercepts (k,).

    With "tanh", scores in [-1,1] are first passed through `atanh_clipped`.
    """
    targets = atanh_clipped(scores) if method == "tanh" else scores
    mean, centre = codes.mean(0), targets.mean(0)
    coefficients, *_ = np.linalg.lstsq(codes - mean, targets - centre, rcond=None)
    return coefficients, centre - mean @ coefficients


def r_squared(codes: np.ndarray, scores: np.ndarray, coefficients: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
    """The share of each score's variance (k,) that a linear function of the codes explains; 0 for constant scores."""
    total = ((scores - scores.mean(0)) ** 2).sum(0)
    left = ((scores - codes @ coefficients - intercepts) ** 2).sum(0)
    return np.where(total > 0, 1 - left / np.where(total > 0, total, 1.0), 0.0)


# ---------------------------------------------------------------------------------------------------- a set of axes


@dataclass(frozen=True)
class Measured:
    """How one axis behaves, measured on painted pictures; scores are in standard deviations over random pictures.

    - `slope`: the mean change of its own score per step of one σ. `spearman`: the rank correlation of step and score.
    - `leakage`: the size of the mean change of the other scores per step, averaged over them.
    - `locked_slope`, `locked_leakage`: the same while all other features are locked.
    """

    slope: float
    spearman: float
    leakage: float
    locked_slope: float
    locked_leakage: float


@dataclass(frozen=True)
class _Record:
    """The description of an axis set, stored as JSON."""

    names: list[str]
    part: str
    generator: str
    sha256: str
    method: str
    r2: list[float] | None = None
    samples: int = 0
    seed: int = 0
    text: str = ""
    extractor: str = ""
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AxisSet:
    """Directions in one part of a generator's latents, one for each named feature.

    - `axes` (d,k): unit columns; `scale` (k,): the standard deviation σ of random latents along each.
    - `part`: "noise", "eps", "condition" or "sentence", see `painting`. `generator` and `sha256` name the model.
    - `r2` (k,): the share of each score's variance that its axis's regression explains on held-out pictures; None for
      axes found without scores. `centre` and `spread` (k,): mean and standard deviation of the scores.
    - `correlation` (k,k) of the scores over random pictures, or None.
    - `method`; `samples` and `seed` of the search; `text` it was done for; `extractor`: the model that scored.
    - `ends`: what lies at the two ends of an axis, in words, by name: {"age": ("younger", "older")}.
    - `measured`: what `latent.measure` found, by name.
    """

    names: tuple[str, ...]
    axes: np.ndarray
    scale: np.ndarray
    part: str = "noise"
    generator: str = ""
    sha256: str = ""
    method: str = "linear"
    r2: np.ndarray | None = None
    centre: np.ndarray | None = None
    spread: np.ndarray | None = None
    correlation: np.ndarray | None = None
    samples: int = 0
    seed: int = 0
    text: str = ""
    extractor: str = ""
    ends: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    measured: Mapping[str, Measured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or self.axes.shape != (len(self.axes), len(self.names)):
            raise SettingsError(
                f"Axes (d,k) need k different names; {self.axes.shape} and {len(self.names)} are given."
            )
        if not np.isfinite(self.axes).all():
            raise SettingsError("An axis contains numbers that are not finite.")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"AxisSet({', '.join(self.names)}; {self.part} of {self.generator!r}, {self.method})"

    def index(self, name: str) -> int:
        """The column of a feature. Raises SettingsError with the names there are."""
        if name not in self.names:
            raise unknown_setting("This set of axes", name, self.names)
        return self.names.index(name)

    def cosines(self) -> np.ndarray:
        """The cosine of each pair of axes (k,k)."""
        unit = normalise(self.axes)
        return unit.T @ unit

    @property
    def errors(self) -> np.ndarray | None:
        """How far the change of a score may be from what its axis predicts (k,), in standard deviations, or None.

        It is the difference of two scores, each of which the axis misses by √(1 − R²).
        """
        return None if self.r2 is None else np.sqrt(2 * (1 - np.clip(self.r2, 0.0, 1.0)))

    def disentangled(self, locked: Sequence[str]) -> tuple[np.ndarray, dict[str, str]]:
        """Unit axes (d,k) while these features are locked, and why the others that cannot move are disabled, by name.

        Raises SettingsError for an unknown name, or if all features are locked.

        >>> axes, disabled = faces.disentangled(["age"])  # doctest: +SKIP
        """
        columns = [self.index(name) for name in dict.fromkeys(locked)]
        if len(columns) == len(self) and len(self) > 0:
            raise SettingsError("All features are locked, so none can move. Unlock one.")
        axes, disabled = disentangle(self.axes, columns)
        zero = np.linalg.norm(self.axes, axis=0) == 0
        reasons = {
            name: "its score is constant" if zero[column] else f"it cannot move without {', '.join(locked)}"
            for column, name in enumerate(self.names)
            if disabled[column] and column not in columns
        }
        return axes, reasons

    def offset(self, steps: Mapping[str, float], locked: Sequence[str] = ()) -> np.ndarray:
        """The vector (d,) to add to the latents for so many σ along each feature, while others are locked.

        >>> faces.offset({"age": 1.5}, locked=["sex"]).shape  # doctest: +SKIP
        (100,)
        """
        axes, disabled = self.disentangled(locked) if locked else (normalise(self.axes), {})
        total = np.zeros(len(self.axes))
        for name, sigmas in steps.items():
            column = self.index(name)
            if not np.isfinite(sigmas):
                raise SettingsError(f"A step is a finite number of σ; {name} was given {sigmas!r}.")
            if sigmas and name in disabled:
                raise SettingsError(f"{name} cannot move: {disabled[name]}.")
            total += sigmas * self.scale[column] * axes[:, column]
        return total

    def move(
        self, latents: Mapping[str, np.ndarray], steps: Mapping[str, float], locked: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Latents of one picture, moved; `latents` stays as it is. Raises SettingsError for latents of another size.

        >>> older = faces.move(face.latents, {"age": 2.0}, locked=["sex"])  # doctest: +SKIP
        >>> tg.sample("faces", latents=older)  # doctest: +SKIP
        """
        offset = self.offset(steps, locked)
        before = np.asarray(latents.get(self.part, np.zeros_like(offset)), dtype=np.float64)
        if before.shape != offset.shape:
            raise SettingsError(
                f"These axes move {self.part} of {len(offset)} numbers; the latents have {before.shape}."
            )
        moved = before + offset
        if np.abs(moved).max() > np.finfo(np.float32).max:
            raise SettingsError(f"So many σ cannot be moved: {dict(steps)!r:.60}.")
        return {name: np.asarray(part) for name, part in latents.items()} | {self.part: moved.astype(np.float32)}

    def coordinates(self, latents: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where latents are along each axis, in σ."""
        vector = np.asarray(latents.get(self.part, np.zeros(len(self.axes))), dtype=np.float64)
        return dict(zip(self.names, (normalise(self.axes).T @ vector / self.scale).tolist(), strict=True))

    def check_model(self, sha256: str) -> None:
        """Raise SettingsError if the axes were found in another model than the one with this checksum."""
        if self.sha256 and sha256 and self.sha256 != sha256:
            raise SettingsError(
                f"These axes belong to another version of the generator {self.generator!r} "
                f"(sha256 {self.sha256[:8]}…, this one {sha256[:8]}…). Find them again with `telephonegan axes find`."
            )

    def take(self, names: Sequence[str]) -> AxisSet:
        """The axes of these features only."""
        rows = [self.index(name) for name in names]

        def chosen(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return dataclasses.replace(
            self,
            names=tuple(names),
            axes=self.axes[:, rows],
            scale=self.scale[rows],
            r2=chosen(self.r2),
            centre=chosen(self.centre),
            spread=chosen(self.spread),
            correlation=None if self.correlation is None else self.correlation[np.ix_(rows, rows)],
            ends={name: each for name, each in self.ends.items() if name in names},
            measured={name: each for name, each in self.measured.items() if name in names},
        )

    @classmethod
    def from_tlgan(cls, path: str | os.PathLike[str], generator: str = "pggan", sha256: str = "") -> AxisSet:
        """The axes in TL-GAN's feature_direction_….pkl, found in the noise of a Progressive GAN. Raises DataError.

        >>> AxisSet.from_tlgan("feature_direction_20181002_044444.pkl").index("Smiling")  # doctest: +SKIP
        31
        """
        from telephonegan.zoo.legacy_pickles import read_directions

        directions, names = read_directions(path)
        told = {"generator": generator, "sha256": sha256, "method": "tl-gan"}
        return cls(tuple(names), normalise(directions), np.ones(len(names)), **told)

    # ------------------------------------------------------------------------------------------------ files

    def tensors(self) -> dict[str, Any]:
        """The arrays as tensors by name."""
        import torch

        found = {name: getattr(self, name) for name in _ARRAYS}
        arrays = {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in found.items() if a is not None}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def record(self) -> dict[str, Any]:
        """Everything else, as JSON holds it."""
        return {
            **{name: getattr(self, name) for name in _TEXTS},
            "names": list(self.names),
            "ends": {name: list(each) for name, each in self.ends.items()},
            "r2": None if self.r2 is None else [round(float(each), 4) for each in self.r2],
            "measured": {name: dataclasses.asdict(each) for name, each in self.measured.items()},
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write PATH.safetensors with the arrays and PATH.json with the rest; both must not exist. Raises OutputError.

        >>> axes.save("out/faces-axes")  # doctest: +SKIP
        PosixPath('out/faces-axes.json')
        """
        import safetensors.torch

        stem = _stem(path)
        told, arrays = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.safetensors")
        for each in (told, arrays):
            check_free(each)
        write_new(arrays, safetensors.torch.save(self.tensors()))
        return write_new(told, json_bytes({"format": _FORMAT, **self.record()}))

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> AxisSet:
        """Read what `save` wrote, or the axes registered under a name.

        Raises DataError for damaged files, UnknownModelError for an unknown name.

        >>> AxisSet.load("faces").names  # doctest: +SKIP
        ('age', 'sex', …)
        """
        from telephonegan.zoo import catalogue

        stem = _stem(source)
        told = stem.with_name(f"{stem.name}.json")
        if not told.exists() and catalogue.is_name(os.fspath(source)):
            return cls.of(catalogue.find("axes", os.fspath(source)))
        missing = f"There is no {told}. Give the path that axes were saved under, or the name of registered ones."
        content = read_json(told, missing=missing)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise DataError(f"{told} is not a set of axes of format {_FORMAT}.")
        return cls._of(content, _read_arrays(stem.with_name(f"{stem.name}.safetensors")), str(told))

    @classmethod
    def of(cls, entry: Any) -> AxisSet:
        """The registered axes of a manifest entry. Raises WeightsError, or DataError for damaged ones."""
        from telephonegan.zoo import store

        if entry.architecture != "axes":
            raise WeightsError(f"axes/{entry.name} has the architecture {entry.architecture!r}; 'axes' is needed.")
        arrays = {name: tensor.numpy() for name, tensor in store.read_tensors(entry).items()}
        return cls._of(entry.settings, arrays, f"axes/{entry.name}")

    @classmethod
    def _of(cls, content: dict[str, Any], arrays: Mapping[str, np.ndarray], where: str) -> AxisSet:
        record = checked(content, _Record, where)
        known = {name: arrays[name].astype(np.float64) for name in _ARRAYS if name in arrays}
        k = len(record.names)
        shapes = {"axes": (len(known.get("axes", ())), k), "correlation": (k, k)}
        wrong = next((name for name, a in known.items() if a.shape != shapes.get(name, (k,))), None)
        if wrong or not {"axes", "scale"} <= known.keys() or not all(np.isfinite(a).all() for a in known.values()):
            raise DataError(f"{where} is damaged: its arrays do not fit its {k} names ({wrong or 'axes'}).")
        told = {name: getattr(record, name) for name in _TEXTS}
        r2 = None if record.r2 is None else np.array(record.r2)
        lists = {"names": tuple(record.names), "ends": record.ends, "measured": record.measured}
        return cls(r2=r2, **lists, **told, **known)

    def register(self, name: str, *, replace: bool = False, folder: Path | None = None, **described: Any) -> Any:
        """Store the axes as axes/`name` among the models, as `zoo.store.register` does; returns the entry.

        `described` is description, data, licence and command. Raises the errors of `zoo.store.register`.
        """
        from telephonegan.zoo import store

        quality = {f"r2_{each}": value for each, value in zip(self.names, self.record()["r2"] or [], strict=False)}
        how = {"architecture": "axes", "settings": self.record(), "quality": quality}
        arrays = self.tensors()
        return store.register(
            "axes", name, arrays, full_precision=list(arrays), folder=folder, replace=replace, **how | described
        )


_ARRAYS = ("axes", "scale", "centre", "spread", "correlation")
_TEXTS = ("part", "generator", "sha256", "method", "samples", "seed", "text", "extractor")


def _stem(path: str | os.PathLike[str]) -> Path:
    path = Path(path).expanduser()
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.torch

    try:
        return {name: tensor.float().numpy() for name, tensor in safetensors.torch.load_file(path).items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path} is missing or damaged: {error}. Find the axes again.") from error
