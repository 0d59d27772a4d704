"""A chain of pictures and captions: its rounds, and how they are displayed and saved."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image

from telephonegan import chain_folder, strips
from telephonegan.captioning import Decoding
from telephonegan.errors import DataError, OutputError, SettingsError, printable
from telephonegan.files import png_bytes, write_new
from telephonegan.generation import check_candidates, check_truncation
from telephonegan.records import Range, Seed
from telephonegan.results import Caption, Picture, Round, inline_image
from telephonegan.version import __version__

MOST_ROUNDS = 1000
SEED_POLICIES = ("fresh", "fixed")
_LONGEST_STRIP = 48


_NEWER = {"candidates": 1, "seed_policy": "fresh"}


@dataclass(frozen=True)
class PlaySettings(Decoding):
    """How captions are decoded, and how pictures are painted.

    `truncation` (0 to 2) scales the noise. With `candidates` (1 to 64) above 1, each picture is the one of so many that
    matches its caption best, see `telephonegan.candidates`. `seed_policy` "fresh" uses new noise every round; "fixed"
    uses the same noise in every round, so that each round is a function of the caption before.
    """

    truncation: float = 1.0
    candidates: int = 1
    seed_policy: str = "fresh"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "truncation", check_truncation(self.truncation))
        object.__setattr__(self, "candidates", check_candidates(self.candidates))
        if self.seed_policy not in SEED_POLICIES:
            raise SettingsError(f"{self.seed_policy!r} is not a seed policy. Allowed: {', '.join(SEED_POLICIES)}.")

    def decoding(self) -> dict[str, Any]:
        """The captioner's part of the settings."""
        return {field.name: getattr(self, field.name) for field in fields(Decoding)}

    def record(self) -> dict[str, Any]:
        """All settings as JSON holds them, without those that older chains lack, where they have their default."""
        return {name: value for name, value in asdict(self).items() if (name, value) not in _NEWER.items()}


@dataclass(frozen=True)
class _Source:
    text: str | None = None
    name: str = ""


@dataclass(frozen=True)
class _Model:
    name: str
    sha256: str


@dataclass(frozen=True)
class _Models:
    captioner: _Model
    generator: _Model


@dataclass(frozen=True)
class _Fork:
    round: int
    seed: Seed
    edited: str = ""


@dataclass(frozen=True)
class _Record:
    """The fields of chain.json that describe a whole chain."""

    source: _Source
    seed: Seed
    chain: Seed
    rounds_wanted: Annotated[int, Range(1, MOST_ROUNDS)]
    settings: PlaySettings
    models: _Models
    started: str
    forked: _Fork | None = None


@dataclass(eq=False, repr=False)
class Chain:
    """One play of the broken telephone. `chain[t]` is round t; `len(chain)` counts them, the start included.

    From an image, round 0 is that picture and its caption; from a text, round 0 is that text and no picture. In every
    later round the caption of the round before is painted, and the painting captioned.
    `seed` and `number` (the chain's index within its set) determine every random draw; `models` holds names and sha256.
    `forked` says of a branch made by `Telephone.fork` from which round of a chain of which seed it comes, and whether
    the caption or the picture of that round was edited.
    """

    source: Image.Image | str
    source_name: str = ""
    seed: int = 0
    number: int = 0
    wanted: int = 0
    settings: PlaySettings = field(default_factory=PlaySettings)
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    started: str = ""
    forked: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.rounds)

    def __iter__(self) -> Iterator[Round]:
        return iter(self.rounds)

    def __getitem__(self, index: int) -> Round:
        return self.rounds[index]

    def __repr__(self) -> str:
        lines = "\n".join(f"{each.index:2}  {printable(str(each.caption))}" for each in self)
        return f"Chain of {len(self) - 1} rounds, seed {self.seed}:\n{lines}"

    def _repr_html_(self) -> str:
        return inline_image(self.strip(), "; ".join(f"{each.index}: {each.caption}" for each in self))

    @property
    def captions(self) -> list[Caption]:
        """The caption of every round."""
        return [each.caption for each in self]

    @property
    def pictures(self) -> list[Picture]:
        """The picture of every round that has one: all, unless the chain started from a text."""
        return [each.picture for each in self if each.picture is not None]

    @property
    def is_complete(self) -> bool:
        """Whether all requested rounds have been played."""
        return len(self) > self.wanted

    def strip(self) -> Image.Image:
        """The rounds in one picture, numbered, with captions below; of a long chain 48 evenly spaced rounds."""
        tiles = self._tiles()
        shown = min(len(tiles), _LONGEST_STRIP)
        return strips.strip([tiles[round(i * (len(tiles) - 1) / max(1, shown - 1))] for i in range(shown)])

    def animate(self, path: str | os.PathLike[str], *, milliseconds: int = 1200) -> Path:
        """Write the rounds as an endless GIF to a new file. Raises OutputError."""
        return write_new(path, self.gif(milliseconds=milliseconds))

    def gif(self, *, milliseconds: int = 1200) -> bytes:
        """The rounds as the bytes of an endless GIF."""
        return strips.gif(self.frames(), milliseconds)

    def frames(self) -> list[Image.Image]:
        """One picture of equal size per round, for an animation."""
        return strips.frames(self._tiles())

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the game as one self-contained HTML file, which any browser shows without a network.

        It has a slider and Play, the words kept, new and lost, where both networks looked at each word, and the drift.
        Raises OutputError if the file already exists or does not end in .html.

        >>> chain.export("game.html")  # doctest: +SKIP
        """
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise OutputError(f"{os.fspath(path)!r} does not end in .html, the only format of this export.")
        return write_new(path, self.html().encode())

    def html(self) -> str:
        """The text of the file that `export` writes."""
        return import_module("telephonegan.viewer").game_page(self)  # it imports chains, as `drift` does

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a new folder: strip.png, rounds/NN.png, attention/NN.png and chain.json.

        Raises OutputError if the folder already exists or cannot be written; nothing is left behind then.
        """
        return chain_folder.save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Chain:
        """Load a saved chain. Only the last stage of each picture is saved. Raises DataError."""
        record, rounds = chain_folder.load(folder, _Record)
        source = record.source.text
        if source is None and rounds[0].picture is None:
            raise DataError(f"The chain in {folder} is damaged or incomplete: it starts from no text and no picture.")
        return cls(
            source=rounds[0].picture.image if source is None else source,
            source_name=record.source.name,
            seed=record.seed,
            number=record.chain,
            wanted=record.rounds_wanted,
            settings=record.settings,
            models={kind: vars(model) for kind, model in vars(record.models).items()},
            rounds=rounds,
            started=record.started,
            forked=record.forked and vars(record.forked),
        )

    def manifest(self) -> dict[str, Any]:
        """The fields of chain.json that describe the whole chain."""
        from_text = isinstance(self.source, str)
        return {
            "source": {"text": self.source} if from_text else {"image": "rounds/00.png", "name": self.source_name},
            "seed": self.seed,
            "chain": self.number,
            "rounds_wanted": self.wanted,
            "settings": self.settings.record(),
            "models": self.models,
            "versions": {
                "telephonegan": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "started": self.started,
            **({"forked": self.forked} if self.forked else {}),
        }

    def drift(self, measures: Sequence[str] | None = None, *, device: str = "cpu") -> Any:
        """How the rounds move away from the first one, as a `telephonegan.drift.Drift`.

        It holds similarities, content words kept and lost, and how captions repeat. `measures` are names from
        `telephonegan.drift.MEASURES`; None: all default measures that can be computed here.
        Raises SettingsError, UnknownModelError or WeightsError.

        >>> chain.drift(["content_f1"]).values("content_f1")  # doctest: +SKIP
        """
        # `drift` imports chains; importing it by name keeps this shortcut from making a circle.
        drift = import_module("telephonegan.drift")
        return drift.Drift.of(drift.Track.of(self), measures, device=device)

    def _tiles(self) -> list[strips.Tile]:
        if not self.rounds:
            raise SettingsError("This chain has no round yet, so there is nothing to show.")
        return [
            strips.Tile(s.picture and s.picture.image, s.caption.text, str(s.index), arrow=s.index > 0) for s in self
        ]

    def strip_png(self) -> bytes:
        """The strip as the bytes of a PNG file."""
        return png_bytes(self.strip())
