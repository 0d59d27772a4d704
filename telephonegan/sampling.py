"""Files of captions to pictures and attention pictures, named as AttnGAN names them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from telephonegan import files
from telephonegan.errors import DataError, SettingsError, TextError, printable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from easydict import EasyDict
    from PIL import Image

    from telephonegan.generation import Generator
    from telephonegan.text import EncodedText, Vocabulary

_BATCH = 8  # of 256-pixel pictures: more is not faster on a CPU and may not fit on a small GPU
_TOLD_WORDS = 20


def sample(
    captions: str | Path | None = None,
    *,
    n: int = 16,
    generator: str | None = None,
    config: str | Path | None = None,
    data_dir: str | Path | None = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 100,
    device: str = "auto",
    attention: bool = True,
    on_folder: Callable[[Path], object] | None = None,
) -> Path:
    """Paint every line of a caption file `n` times into the new folder `out` (default: one in out/), and return it.

    `generator` is the name of a generator (default: flickr8k); one without text needs no captions, and paints
    seed-SEED.png of the seeds `seed`, `seed` + 1, … and grid.png. Instead `config` may be one of AttnGAN's own YAML
    files, whose files are used in place; `data_dir` replaces its DATA_DIR, and without `captions` the caption files
    listed in DATA_DIR/example_filenames.txt are painted, each into a sub-folder.

    Picture i of line s is i_s_s_g0.png, i_s_s_g1.png, … from the smallest size to the largest; unless `attention` is
    False, i_s_s_a0.png, … show the attention. s counts the lines that contain a known word, from 0; other lines and
    unknown words are listed on stderr. A picture depends only on `seed`, i and s. `on_folder` is called with the folder
    before anything is painted.

    Raises SettingsError, DataError for missing files, TextError if no line contains a known word, WeightsError,
    UnknownModelError or OutputError. Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with
    Attentional Generative Adversarial Networks", CVPR 2018.

    >>> sample("captions.txt", n=4, out="painted")  # doctest: +SKIP
    PosixPath('painted')
    """
    from telephonegan import inference
    from telephonegan.files import place
    from telephonegan.text import read_lines

    n = inference.check_whole(n, "n", 1, 100_000)
    seed = inference.check_seed(seed)
    given = None if captions is None else Path(captions)
    source = _source(generator, config, data_dir)
    if given is None and isinstance(source, _Registered) and not source.takes_text():
        open_folder, found = place(None if out is None else os.fspath(out), source.name), source.generator(device)
        root = open_folder()
        if on_folder is not None:
            on_folder(root)
        return _paint_freely(found, root, seeds=range(seed, seed + n))
    texts = {folder: read_lines(path) for folder, path in source.caption_files(given).items()}
    open_folder = place(None if out is None else os.fspath(out), source.name if given is None else given.stem)
    painting = source.generator(device)
    encoded = {folder: known_lines(lines, painting.vocabulary) for folder, lines in texts.items()}
    root = open_folder()
    if on_folder is not None:
        on_folder(root)
    for name, lines in encoded.items():
        folder = files.new_folder(root / name) if name else root
        _paint_all(painting, lines, folder, draws=n, seed=seed, attention=attention)
    return root


# ---------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class _Registered:
    """A registered generator; its captions come from a file."""

    name: str

    def caption_files(self, given: Path | None) -> dict[str, Path]:
        if given is None:
            raise SettingsError("No captions were given. Give --captions FILE, a text file of one caption per line.")
        return {"": given}

    def takes_text(self) -> bool:
        from telephonegan.painting import BACK_ENDS
        from telephonegan.zoo import catalogue

        painter = BACK_ENDS.get(catalogue.find("generator", self.name).architecture)
        return painter is None or painter.takes_text

    def generator(self, device: str) -> Generator:
        from telephonegan.generation import Generator

        return Generator.load(self.name, device)


@dataclass(frozen=True)
class _Published:
    """The files that one of AttnGAN's YAML files names, used in place."""

    path: Path
    config: EasyDict
    data_dir: Path | None

    @property
    def name(self) -> str:
        return Path(self.config.TRAIN.NET_G).stem or self.path.stem

    def caption_files(self, given: Path | None) -> dict[str, Path]:
        """Caption files by sub-folder: the given one, or those listed in DATA_DIR/example_filenames.txt."""
        from telephonegan.text import read_lines

        if given is not None:
            return {"": given}
        found: dict[str, Path] = {}
        listing = self._data() / "example_filenames.txt"
        for name in filter(None, map(str.strip, read_lines(listing))):
            folder = Path(name).name
            if folder in found or folder in ("", ".."):
                raise DataError(f"{listing}: results would go to {folder!r}, which is taken or invalid. Rename it.")
            found[folder] = self._data() / f"{name}.txt"
        if not found:
            raise DataError(f"{listing} lists no caption file. Give --captions FILE.")
        return found

    def generator(self, device: str) -> Generator:
        from telephonegan.generation import Generator
        from telephonegan.matcher import Matcher
        from telephonegan.painting import AttnGANPainter
        from telephonegan.zoo.importing import read_attngan

        network, text_encoder, vocabulary = read_attngan(
            self._found("TRAIN.NET_G", self.config.TRAIN.NET_G),
            self._found("TRAIN.NET_E", self.config.TRAIN.NET_E),
            self._data() / "captions.pickle",
        )
        matcher = Matcher(text_encoder, None, vocabulary, device=device)
        return Generator(AttnGANPainter(AttnGANPainter.folded(network), matcher), name=self.name)

    def _data(self) -> Path:
        return self._found("DATA_DIR", self.data_dir or self.config.DATA_DIR)

    def _found(self, key: str, given: str | Path) -> Path:
        """A path relative to the current folder or the one AttnGAN runs in: code/, which holds cfg/ with the YAML."""
        if not str(given):
            raise SettingsError(f"{self.path} leaves {key} empty. Name it there, as AttnGAN's eval_*.yml files do.")
        code = self.path.absolute().parent.parent
        for place in (files.expanded(given), code / given):
            if place.exists():
                return place
        raise DataError(f"{key}: there is no {given}, neither from {Path.cwd()} nor from {code}. Correct the path.")


def _source(generator: str | None, config: str | Path | None, data_dir: str | Path | None) -> _Registered | _Published:
    if config is None:
        if data_dir is not None:
            raise SettingsError("--data-dir replaces the DATA_DIR of --cfg YAML: give both or neither.")
        return _Registered(generator or "flickr8k")
    if generator is not None:
        raise SettingsError("Give either the name of a generator or --cfg YAML, not both.")
    from telephonegan.zoo.attngan_config import read_config

    path = Path(config)
    settings = read_config(path)
    if settings.B_VALIDATION:
        raise SettingsError(
            f"{path} sets B_VALIDATION to True, which asks for a whole test split. Only caption files can be "
            "painted: set it to False."
        )
    return _Published(files.expanded(path), settings, None if data_dir is None else Path(data_dir))


# ---------------------------------------------------------------------------------------------------- captions


def known_lines(lines: Sequence[str], vocabulary: Vocabulary) -> list[EncodedText]:
    """The lines that contain a known word, never cut; skipped ones are listed on stderr. Raises TextError if none."""
    kept = []
    for number, line in enumerate(lines, 1):
        try:
            kept.append(vocabulary.encode(line))
        except TextError:
            if line.strip():
                shown = printable(line.strip()[:60])
                print(f"Line {number} has no known word and is skipped: {shown}", file=sys.stderr)
    if not kept:
        raise TextError(f"No line has a word this model knows. Try words such as {', '.join(vocabulary.common(8))}.")
    dropped = list(dict.fromkeys(word for line in kept for word in line.dropped))
    if dropped:
        print(f"Not known, so not painted: {printable(', '.join(dropped[:_TOLD_WORDS]))}", file=sys.stderr)
    return kept


# ---------------------------------------------------------------------------------------------------- pictures


def _paint_freely(generator: Generator, folder: Path, *, seeds: range) -> Path:
    from telephonegan import inference
    from telephonegan.images import contact_sheet, to_tensor

    inference.check_seed(seeds[-1])
    pictures = [picture.image for picture in generator([""] * len(seeds), seeds=seeds)]
    for seed, picture in zip(seeds, pictures, strict=True):
        files.replace(folder / f"seed-{seed}.png", files.png_bytes(picture))
    files.replace(folder / "grid.png", files.png_bytes(contact_sheet(to_tensor(pictures, generator.size))))
    return folder


def _paint_all(
    generator: Generator, lines: Sequence[EncodedText], folder: Path, *, draws: int, seed: int, attention: bool
) -> None:
    from tqdm.auto import tqdm

    from telephonegan.attention_pictures import attention_picture
    from telephonegan.inference import derived_seed

    wanted = [(i, s) for i in range(draws) for s in range(len(lines))]
    for start in tqdm(range(0, len(wanted), _BATCH), desc=folder.name, disable=None):
        places = wanted[start : start + _BATCH]
        sentences = [lines[s] for _, s in places]
        stages = painted(generator, sentences, [derived_seed(seed, i, s) for i, s in places])
        for (i, s), sentence, (images, maps) in zip(places, sentences, stages, strict=True):
            for k, image in enumerate(images):
                files.replace(folder / f"{i}_s_{s}_g{k}.png", files.png_bytes(image))
            for k, seen in enumerate(maps if attention else []):
                image = images[min(k + 1, len(images) - 1)]  # the next size; G_DCGAN shows its last size only
                picture = attention_picture(image, seen, sentence.words)
                files.replace(folder / f"{i}_s_{s}_a{k}.png", files.png_bytes(picture))


def painted(
    generator: Generator, sentences: Sequence[EncodedText], seeds: Sequence[int]
) -> Iterator[tuple[list[Image.Image], list[np.ndarray]]]:
    """For each sentence its pictures from small to large, and the attention (L,H,W) of every size but the last.

    One seed for each. Grey levels are AttnGAN's, see `truncated_images`.

    >>> [(pictures, attention)] = painted(generator, [generator.encode("a red bird")], [3])  # doctest: +SKIP
    """
    stages, attentions = generator.stages(sentences, seeds)
    pictures = zip(*map(truncated_images, stages), strict=True)
    maps = [batch.float().cpu().numpy() for batch in attentions]
    for row, (images, sentence) in enumerate(zip(pictures, sentences, strict=True)):
        yield list(images), [batch[row, : len(sentence.words)] for batch in maps]


def truncated_images(batch: torch.Tensor) -> list[Image.Image]:
    """Pictures (B,3,H,W) in [-1,1] as AttnGAN stores them: grey levels are truncated, whereas `to_images` rounds.

    >>> import torch
    >>> truncated_images(torch.zeros(1, 3, 1, 1))[0].getpixel((0, 0))
    (127, 127, 127)
    """
    from telephonegan.images import to_images

    return to_images(((batch.float() + 1) * 127.5).floor() / 127.5 - 1)
