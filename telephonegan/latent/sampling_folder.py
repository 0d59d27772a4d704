"""The folder of a plug & play sampling: each frame as a picture and a JSON file, and where the chains stand.

    chain.json            settings, seeds, conditions, the model, the probability at every step, and why chains ended
    samples/00005.jpg     frames that were kept, by step, with 00005.json beside each; for several seeds one folder each
    last/seed-0.png       where each chain was seen last, in the same way
    state.safetensors     all that is needed to go on

Every file is written at once when it is known, so Ctrl-C and `kill -9` lose no frame.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from telephonegan.errors import DataError, SettingsError
from telephonegan.files import json_bytes, make_folder, png_bytes, replace
from telephonegan.images import as_image
from telephonegan.latent.sampler import Frame, Sampler, Sampling, State
from telephonegan.records import Count, Probability, Seed, checked, read_json, record_of

CHAIN, STATE, SAMPLES, LAST = "chain.json", "state.safetensors", "samples", "last"
FORMAT = 1
_SECONDS = 20.0  # between two savings of the state
_FrameRecord = record_of(Frame, "image", vector=list[float], seed=Seed, step=Count, probability=Probability)


class SamplingFolder:
    """Keeps a sampling as it goes, and reads it again.

    >>> kept = SamplingFolder(Path("out/junco"), sampler)  # doctest: +SKIP
    >>> sampler.run([0], on_frame=kept.add, on_step=kept.step)  # doctest: +SKIP

    `made_with` are JSON values of what else the pictures depend on, such as networks that a sampler cannot name.
    """

    def __init__(
        self,
        folder: Path,
        sampler: Sampler,
        seeds: tuple[int, ...],
        *,
        command: str = "",
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.seeds = folder, seeds
        self._made_with = dict(made_with or {})
        self._told = {"format": FORMAT, "command": command, "seeds": list(seeds), **described(sampler)}
        self._saved = time.monotonic()
        for part in (SAMPLES, LAST):
            make_folder(folder / part)

    def sample(self, frame: Frame) -> Path:
        """The path of a frame's picture."""
        own = self.folder / SAMPLES
        return (own if len(self.seeds) == 1 else own / f"seed-{frame.seed}") / f"{frame.step:05d}.jpg"

    def add(self, frame: Frame) -> None:
        """Keep a frame. Raises OutputError."""
        path = self.sample(frame)
        make_folder(path.parent)
        replace(path, jpeg_bytes(frame.image))
        replace(path.with_suffix(".json"), json_bytes(frame.record()))

    def step(self, sampling: Sampling) -> None:
        """Keep where the chains stand, now and then. Raises OutputError."""
        if time.monotonic() - self._saved > _SECONDS:
            self.save(sampling)

    def save(self, sampling: Sampling) -> None:
        """Keep where the chains stand. Raises OutputError."""
        from safetensors.torch import save

        for seed, frame in sampling.lasts.items():
            path = self.folder / LAST / f"seed-{seed}.png"
            replace(path, png_bytes(frame.image))
            replace(path.with_suffix(".json"), json_bytes(frame.record()))
        state = sampling.state
        tensors = {"vectors": state.vectors.cpu().contiguous(), "epsilon1": state.epsilon1.contiguous()}
        replace(self.folder / STATE, save(tensors))
        told = {
            "step": state.step,
            "finished": sampling.is_finished,
            "stopped": list(state.stopped),
            "probabilities": [[_finite(value) for value in row] for row in sampling.probabilities],
        }
        replace(self.folder / CHAIN, json_bytes({**self._told, **self._made_with, **told}))
        self._saved = time.monotonic()

    def load(self) -> Sampling:
        """The sampling kept here, to go on with.

        Raises SettingsError if it was made with other settings, DataError if it is damaged or not there.
        """
        told = read_json(self.folder / CHAIN, dict[str, Any], missing=f"{self.folder} holds no sampling to go on with.")
        where = str(self.folder / CHAIN)
        # A folder that says nothing of `made_with` is older than these names.
        known = {name: value for name, value in self._made_with.items() if name in told}
        for name, value in (self._told | known).items():
            if name != "command" and told.get(name) != value:
                raise SettingsError(
                    f"{self.folder} was made with {name} {told.get(name)!r:.80}, not {value!r:.80}. "
                    "Go on with the same options, or choose another folder."
                )
        step = checked(told.get("step"), Count, f"{where}, step")
        stopped = checked(told.get("stopped"), list[str], f"{where}, stopped")
        rows = checked(told.get("probabilities"), list[list[float | None]], f"{where}, probabilities")
        state = self._state(step, tuple(stopped))
        frames = [frame for frame in self.frames() if frame.step < step]
        lasts = {frame.seed: frame for frame in [*frames, *_read(self.folder / LAST, ".png")]}
        probabilities = [[math.nan if value is None else value for value in row] for row in rows]
        return Sampling(state, frames, lasts, probabilities)

    def _state(self, step: int, stopped: tuple[str, ...]) -> State:
        from safetensors.torch import load_file

        path = self.folder / STATE
        try:
            found = load_file(path)
            vectors, epsilon1 = found["vectors"].float(), found["epsilon1"].float()
            fits = vectors.dim() == 2 and len(vectors) == len(epsilon1) == len(stopped) == len(self.seeds)
            if not fits or not torch.isfinite(vectors).all():
                raise ValueError("its chains do not fit chain.json")
        except Exception as error:  # damaged files raise all kinds of exceptions
            raise DataError(
                f"{path} is damaged: {error or type(error).__name__}. Start again in a new folder."
            ) from error
        return State(self.seeds, step, vectors, epsilon1, stopped)

    def frames(self) -> list[Frame]:
        """The frames kept, by step and seed. Raises DataError for damaged files."""
        found = _read(self.folder / SAMPLES, ".jpg")
        return sorted(found, key=lambda frame: (frame.step, frame.seed))


def _read(folder: Path, suffix: str) -> list[Frame]:
    """The frames in a folder and those below it, with pictures of this suffix."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        told = read_json(path, dict[str, Any])
        told["vector"] = told.pop("h", None)
        record = vars(checked(told, _FrameRecord, str(path)))
        record["vector"] = np.array(record["vector"], dtype=np.float32)
        found.append(Frame(image=as_image(path.with_suffix(suffix)), **record))
    return found


def described(sampler: Sampler) -> dict[str, Any]:
    """What a sampling depends on, besides its seeds and start."""
    return {
        "model": sampler.decoder.name,
        "prior": sampler.prior.name,
        "conditions": [condition.label for condition in sampler.conditions],
        "settings": sampler.settings.record(),
        "inpainting": sampler.hole is not None,
    }


def jpeg_bytes(image: Image.Image) -> bytes:
    """A picture as a JPEG file of high quality."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
