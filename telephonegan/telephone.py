"""The broken telephone: image → caption → image → caption → …, and shortcuts for either half."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from PIL import Image

from telephonegan import inference
from telephonegan.captioning import Captioner, Decoding
from telephonegan.chains import MOST_ROUNDS, Chain, PlaySettings
from telephonegan.errors import ImageError, SettingsError, TextError
from telephonegan.generation import Edit, Generator
from telephonegan.images import ValueRange, working_image
from telephonegan.latent.axes import AxisSet
from telephonegan.latent.code_painter import caption_generator, is_code_generator
from telephonegan.results import Caption, Picture, Round
from telephonegan.text import tokenise
from telephonegan.zoo import catalogue
from telephonegan.zoo.worlds import find_world

DEFAULT_MODEL = "flickr8k"
ON_ERROR = ("raise", "skip")
OnRound = Callable[[Chain], None]
_watch = inference.CoreWatch("round")


@dataclass(frozen=True)
class Position:
    """Where a chain stands: everything its next round depends on, except the settings of the play.

    `round` is the number of the next round, and `before` the caption of the one before it; for round 0 the picture or
    text the chain starts from. `seed` and `number` are those of the chain.
    """

    round: int
    before: Image.Image | str
    seed: int
    number: int

    @classmethod
    def of(cls, chain: Chain) -> Position:
        """The position of a chain."""
        before = chain[-1].caption.text if chain.rounds else chain.source
        return cls(len(chain), before, chain.seed, chain.number)


def _describe(
    captioner: Captioner,
    image: Any,
    *,
    seed: int = 0,
    value_range: ValueRange | None = None,
    on_error: str = "raise",
    **decoding: Any,
) -> Caption | list[Caption | None]:
    how = {"value_range": value_range, **decoding}
    read = partial(working_image, value_range=value_range)
    images, indices = _usable(image, read, "picture", on_error)
    captions = captioner(images, seeds=[seed] * len(images), **how)
    return _in_place(image, captions, indices)


def _paint(
    generator: Generator,
    text: str | list[str],
    *,
    seed: int = 0,
    n: int = 1,
    truncation: float = 1.0,
    candidates: int = 1,
    latents: Edit | Sequence[Edit | None] | None = None,
    on_error: str = "raise",
) -> Picture | list[Picture | None] | list[list[Picture] | None]:
    n = inference.check_whole(n, "n", 1, 1000)
    seed = inference.check_seed(seed)
    many = isinstance(text, list | tuple)
    edits = generator.checked_latents(latents if many or latents is None else [latents], len(text) if many else 1)
    texts, indices = _usable(text, lambda each: generator.encode(each) and each, "text", on_error)
    how = {"truncation": truncation, "candidates": candidates, "edits": [edits[index] for index in indices]}
    return _in_place(text, _paint_all(generator, texts, seeds=range(seed, seed + n), **how), indices)


def _usable(given: Any, read: Callable[[Any], Any], what: str, on_error: str) -> tuple[list, list[int]]:
    """The readable items of a list (or one item), and their places; `on_error="skip"` leaves out unreadable ones."""
    if on_error not in ON_ERROR:
        raise SettingsError(f"on_error must be one of {', '.join(ON_ERROR)}; {on_error!r} was given.")
    if not isinstance(given, list | tuple):
        return [read(given)], [0]
    found, reasons = {}, {}
    for index, each in enumerate(given):
        try:
            found[index] = read(each)
        except (ImageError, TextError) as error:
            if on_error == "raise":
                raise type(error)(f"The {what} at index {index}: {error}") from error
            reasons[index] = str(error)
    if reasons:
        told = "; ".join(f"index {index}: {reason}" for index, reason in reasons.items())
        warnings.warn(f"Skipped {len(reasons)} of {len(given)} {what}s. {told}", stacklevel=5)
    return list(found.values()), list(found)


def _in_place(given: Any, results: list, indices: list[int]) -> Any:
    """A single result for a single item; for a list, a list with None for what was left out."""
    if not isinstance(given, list | tuple):
        return results[0]
    by_index = dict(zip(indices, results, strict=True))
    return [by_index.get(index) for index in range(len(given))]


class Telephone:
    """A captioner and a generator that play the game together. `load` makes one from their names.

    >>> phone = Telephone(Captioner.load("flickr8k"), Generator.load("flickr8k"))  # doctest: +SKIP
    """

    def __init__(self, captioner: Captioner, generator: Generator) -> None:
        self.captioner, self.generator = captioner, generator

    @property
    def models(self) -> dict[str, dict[str, str]]:
        """Names and sha256 of both models."""
        return {
            kind: {"name": model.name, "sha256": model.sha256}
            for kind, model in (("captioner", self.captioner), ("generator", self.generator))
        }

    @inference.known_settings(_describe, Decoding)
    def caption(self, image: Any, **decoding: Any) -> Caption | list[Caption]:
        """Like the function `caption`, with this captioner."""
        return _describe(self.captioner, image, **decoding)

    @inference.known_settings(_paint)
    def generate(self, text: str | list[str], **options: Any) -> Picture | list[Picture] | list[list[Picture]]:
        """Like the function `generate`, with this generator."""
        return _paint(self.generator, text, **options)

    @inference.known_settings(PlaySettings)
    def play_many(
        self,
        *,
        images: Sequence[Any] = (),
        texts: Sequence[str] = (),
        rounds: int = 8,
        seed: int = 0,
        number: int = 0,
        value_range: ValueRange | None = None,
        progress: bool = True,
        on_round: OnRound | None = None,
        **settings: Any,
    ) -> list[Chain]:
        """Play one chain per picture or text, all advancing together; images come first in the result.

        The chains are numbered from `number` on. What a chain samples depends on `seed`, its number and the round
        alone, so its neighbours make no difference but for the rounding of sums. `settings` are those of
        `PlaySettings`: method, beam_width, temperature, top_p, truncation, candidates, seed_policy, axes, turn.
        `value_range` is that of `images.as_image`. `on_round` is called with each chain that has grown.
        A chain ends early when its caption holds no word the generator knows.
        Raises ImageError, TextError or SettingsError before the first round.
        """
        rounds = inference.check_whole(rounds, "rounds", 1, MOST_ROUNDS)
        seed = inference.check_seed(seed)
        number = inference.check_whole(number, "number", 0, inference.SEEDS - 1)
        how = PlaySettings(**settings)
        if how.candidates > 1:
            self.generator.teacher()  # says now what it would say in round 1
        if how.turn:
            self.axes_of(how)
        shared = {
            "seed": seed,
            "wanted": rounds,
            "settings": how,
            "models": self.models,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        for text in texts:
            self.generator.encode(text)  # fails now rather than in round 1
        sources = [(working_image(image, value_range=value_range), _name_of(image)) for image in images]
        sources += [(text, "") for text in texts]
        chains = [Chain(source, name, number=each, **shared) for each, (source, name) in enumerate(sources, number)]
        self._advance_to(rounds, chains, progress, on_round)
        return chains

    @inference.known_settings(play_many, PlaySettings, without=("images", "texts"))
    def play(
        self, image: Any = None, text: str | list[str] | None = None, *, number: int = 0, **options: Any
    ) -> Chain | list[Chain]:
        """Play from a picture or from a text; a list of either gives a list of chains, as `play_many` does.

        `number` is that of the (first) chain: `play(image=images[3], number=3)` repeats chain 3 of
        `play(image=images)`.
        """
        if (image is None) == (text is None):
            raise SettingsError("A chain starts from one thing: give either image=… or text=….")
        kind, source = ("texts", text) if image is None else ("images", image)
        if isinstance(source, list | tuple):
            return self.play_many(**{kind: source}, number=number, **options)
        return self.play_many(**{kind: [source]}, number=number, **options)[0]

    def resume(
        self, chain: Chain, *, rounds: int | None = None, progress: bool = True, on_round: OnRound | None = None
    ) -> Chain:
        """Continue a chain up to `rounds` (default: the number first requested), as if it had never been interrupted.

        Raises SettingsError if it was played with other models, or already has more rounds than that.
        """
        if chain.models != self.models:
            raise SettingsError(f"The chain was played with {chain.models}, not with {self.models}. Load those models.")
        chain.wanted = inference.check_whole(
            chain.wanted if rounds is None else rounds, "rounds", max(1, len(chain) - 1), MOST_ROUNDS
        )
        self._advance_to(chain.wanted, [chain], progress, on_round)
        return chain

    def fork(
        self,
        chain: Chain,
        at: int,
        *,
        seed: int | None = None,
        caption: str | None = None,
        image: Any = None,
        rounds: int | None = None,
        progress: bool = True,
        on_round: OnRound | None = None,
    ) -> Chain:
        """A branch of a chain: the same rounds up to round `at`, then others; the chain itself stays as it is.

        What differs is the `seed` (default: that of the chain), the `caption` of round `at`, or its picture: `image` is
        anything `as_image` reads and is captioned anew. `rounds` is the number of the last round (default: that of the
        chain). Raises SettingsError, ImageError, TextError.

        >>> phone.fork(chain, 3, caption="a dog in the snow")  # doctest: +SKIP
        """
        at = inference.check_whole(at, "at", 0, len(chain) - 1)
        seed = chain.seed if seed is None else inference.check_seed(seed)
        if caption is not None and image is not None:
            raise SettingsError("A branch changes one thing at a round: give either caption=… or image=….")
        edited = "picture" if image is not None else "caption" if caption is not None else ""
        forked = {"round": at, "seed": chain.seed, "edited": edited}
        branch = replace(chain, seed=seed, rounds=chain.rounds[: at + 1], forked=forked)
        if image is not None:
            self._edit_picture(branch, working_image(image))
        if caption is not None:
            self.generator.encode(caption)  # fails now rather than in the next round
            said = Caption(caption, tokenise(caption), image=branch[at].caption.image)
            branch.rounds[at] = Round(at, said, branch[at].picture)
        if on_round:
            on_round(branch)
        return self.resume(branch, rounds=rounds, progress=progress, on_round=on_round)

    def _edit_picture(self, chain: Chain, image: Image.Image) -> None:
        """Replace the picture of the last round, and caption it."""
        at = len(chain) - 1
        before = chain.source if at == 0 else chain[at - 1].caption.text
        if at == 0:
            chain.source = before = image
        position, picture = Position(at, before, chain.seed, chain.number), Picture(image)
        [said] = self._recaption([position], [picture], chain.settings)
        chain.rounds[at] = Round(at, said, picture)

    def _advance_to(self, rounds: int, chains: list[Chain], progress: bool, on_round: OnRound | None) -> None:
        from tqdm.auto import tqdm

        done = min(map(len, chains), default=0)
        quiet = not (progress and chains)
        with tqdm(total=rounds + 1, initial=done, desc="rounds", unit="round", disable=quiet) as bar:
            while chains := [chain for chain in chains if not chain.is_complete and self.can_go_on(chain)]:
                self.advance(chains)
                for chain in chains if on_round else ():
                    on_round(chain)
                bar.update()

    def can_go_on(self, chain: Chain) -> bool:
        """Whether the last caption, if there is one, contains a word that can be painted."""
        return not chain.rounds or self.generator.knows(chain[-1].caption.text)

    def advance(self, chains: Sequence[Chain]) -> None:
        """Add one round to every chain, computed together; `play_many` repeats this.

        All chains must have the same number of rounds and the same settings, and be able to go on.
        Raises SettingsError.

        >>> phone.advance([Chain("a dog on the beach"), Chain("a man in the snow")])  # doctest: +SKIP
        """
        if len({(len(chain), chain.settings) for chain in chains}) > 1:
            raise SettingsError("Chains advance together only with the same number of rounds and the same settings.")
        if not chains:
            return
        rounds = self.next_rounds([Position.of(chain) for chain in chains], chains[0].settings)
        for chain, round_ in zip(chains, rounds, strict=True):
            chain.rounds.append(round_)

    def next_rounds(self, positions: Sequence[Position], settings: PlaySettings) -> list[Round]:
        """The next round of chains at these positions, all at round 0 or all past it, computed together."""
        with _watch(self.captioner.device):
            pictures = self._repaint(positions, settings) if positions[0].round else _start(positions)
            captions = self._recaption(positions, pictures, settings)
        return [
            Round(position.round, caption, picture)
            for position, caption, picture in zip(positions, captions, pictures, strict=True)
        ]

    def _repaint(self, positions: Sequence[Position], settings: PlaySettings) -> list[Picture]:
        seeds = [_round_seed(position, "picture", settings.seed_policy) for position in positions]
        return self.generator(
            [position.before for position in positions],
            seeds=seeds,
            truncation=settings.truncation,
            candidates=settings.candidates,
            latents=self._turned(positions, seeds, settings) if settings.turn else None,
        )

    def _turned(self, positions: Sequence[Position], seeds: list[int], settings: PlaySettings) -> list[Edit]:
        """The latents of a round in which knobs are turned."""
        axes = self.axes_of(settings)
        drawn = self.generator.latents(seeds, truncation=settings.truncation)
        return [
            axes.move(
                {name: part[row].cpu().numpy() for name, part in drawn.items()},
                {name: sigmas * position.round for name, sigmas in settings.turn},
            )
            for row, position in enumerate(positions)
        ]

    def axes_of(self, settings: PlaySettings) -> AxisSet:
        """The axes whose knobs are turned. Raises SettingsError for those of another generator, or an unknown name."""
        axes = _axes(settings.axes)
        axes.check_model(self.generator.sha256)
        for name, _ in settings.turn:
            axes.index(name)
        return axes

    def _recaption(
        self, positions: Sequence[Position], pictures: list[Picture | None], settings: PlaySettings
    ) -> list[Caption]:
        """Caption the pictures together; without a picture, the given text is the caption."""
        seen = [(where, picture) for where, picture in zip(positions, pictures, strict=True) if picture is not None]
        said = iter(
            self.captioner(
                [picture.image for _, picture in seen],
                seeds=[_round_seed(position, "caption", settings.seed_policy) for position, _ in seen],
                **settings.decoding(),
            )
        )
        return [
            Caption(position.before, tokenise(position.before)) if picture is None else next(said)
            for position, picture in zip(positions, pictures, strict=True)
        ]


@inference.known_settings(Decoding)
def caption(
    image: Any,
    *,
    captioner: str = DEFAULT_MODEL,
    device: str = "auto",
    seed: int = 0,
    value_range: ValueRange | None = None,
    on_error: str = "raise",
    **decoding: Any,
) -> Caption | list[Caption | None]:
    """Describe a picture, or each of a list of pictures, in words.

    `image` and `value_range` are those of `images.as_image`. `decoding` is method ("beam", "greedy" or "sample"),
    beam_width, temperature and top_p, see `captioning.Decoding`. Of a list, pictures that cannot be read
    raise an error that has their index or, with `on_error="skip"`, become None, and a warning lists them. Raises
    ImageError, SettingsError, UnknownModelError, WeightsError.

    >>> print(caption("bear.jpg"))  # doctest: +SKIP
    """
    how = {"seed": seed, "value_range": value_range, "on_error": on_error}
    return _describe(_captioner(captioner, device), image, **how, **decoding)


@inference.known_settings()
def generate(
    text: str | list[str],
    *,
    seed: int = 0,
    n: int = 1,
    truncation: float = 1.0,
    candidates: int = 1,
    latents: Edit | Sequence[Edit | None] | None = None,
    on_error: str = "raise",
    generator: str = DEFAULT_MODEL,
    device: str = "auto",
) -> Picture | list[Picture | None] | list[list[Picture] | None]:
    """Paint a text, or each of a list of texts.

    With n > 1 every text gives a list of n pictures, with the seeds seed, seed + 1, …. `truncation` (0 to 2) scales the
    noise. With `candidates` (2 to 64), each picture is the one of so many that matches the text best, in the eyes of
    the generator's teacher. `latents` (for a list of texts a list) replace parts of what the seed draws, such as
    {"noise": array}; see `generation.Generator.latents`.
    Of a list, texts without a known word raise an error that has their index or, with `on_error="skip"`, become None,
    and a warning lists them.
    Raises TextError, SettingsError, UnknownModelError, WeightsError.

    >>> generate("a brown bear in the grass", seed=3).save("bear.png")  # doctest: +SKIP
    """
    how = {"truncation": truncation, "candidates": candidates, "latents": latents, "on_error": on_error}
    return _paint(_generator(generator, device), text, seed=seed, n=n, **how)


@inference.known_settings()
def sample(
    generator: str,
    *,
    seed: int = 0,
    n: int = 1,
    truncation: float = 1.0,
    latents: Edit | None = None,
    device: str = "auto",
) -> Picture | list[Picture]:
    """A picture of a generator that takes no text; with n > 1 a list, of the seeds seed, seed + 1, ….

    Every picture has its `latents`, {"noise": (Z,)}; given here again, as they are or edited, they replace what the
    seed draws. `truncation` (0 to 2) scales the noise. Raises SettingsError, also for a generator that needs a text,
    UnknownModelError, WeightsError.

    >>> face = sample("faces", seed=3)  # doctest: +SKIP
    >>> sample("faces", latents={"noise": -face.latents["noise"]}).save("opposite.png")  # doctest: +SKIP
    """
    found = _generator(generator, device)
    if found.painter.takes_text:
        raise SettingsError(f"{generator!r} paints texts. Use generate(text, generator={generator!r}).")
    return _paint(found, "", seed=seed, n=n, truncation=truncation, latents=latents)


@inference.known_settings(Telephone.play_many, PlaySettings, without=("images", "texts"))
def play(
    image: Any = None,
    text: str | list[str] | None = None,
    *,
    rounds: int = 8,
    seed: int = 0,
    captioner: str | None = None,
    generator: str | None = None,
    world: str | None = None,
    device: str = "auto",
    **options: Any,
) -> Chain | list[Chain]:
    """Play the broken telephone from a picture or a text; a list of either gives a list of chains.

    Models are chosen as in `load`; `options` are those of `Telephone.play_many`. Raises the errors of `caption` and
    `generate`.

    >>> play(image="bear.jpg", rounds=8).save("out/bear")  # doctest: +SKIP
    >>> play(text="a pale pink flower with pointed petals", world="flowers")  # doctest: +SKIP
    """
    phone = load(captioner, generator, device, world=world)
    return phone.play(image, text, rounds=rounds, seed=seed, **options)


@inference.known_settings()
def load(
    captioner: str | None = None,
    generator: str | None = None,
    device: str = "auto",
    *,
    world: str | None = None,
    precision: str = "float32",
) -> Telephone:
    """A Telephone of two models by name, on "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".

    `world` names both models at once, see `models`; without any name they are those of flickr8k. Models stay in memory
    and are shared by all later calls. `precision="bf16"` computes in bfloat16, where the device has instructions for
    it: faster, but pictures and captions of a seed are then others than in float32.
    Raises UnknownModelError, WeightsError, SettingsError.

    >>> phone = load(captioner="flickr8k", generator="fashion", device="cpu")  # doctest: +SKIP
    >>> phone = load(world="flowers")  # doctest: +SKIP
    """
    if world is not None:
        if captioner is not None or generator is not None:
            raise SettingsError("A world names captioner and generator at once: give either a world or those two.")
        captioner = generator = find_world(world).name
    captioner = DEFAULT_MODEL if captioner is None else captioner
    generator = DEFAULT_MODEL if generator is None else generator
    described, painted = _captioner(captioner, device), _generator(generator, device)
    if precision == "float32":
        return Telephone(described, painted)
    return Telephone(described.computing_in(precision), painted.computing_in(precision))


@cache
def _axes(source: str) -> AxisSet:
    return AxisSet.load(source)


def _captioner(name: str, device: str) -> Captioner:
    return inference.shared_model(Captioner, catalogue.find("captioner", name), inference.resolve_device(device))


def _generator(name: str, device: str) -> Generator:
    if is_code_generator(name):
        return caption_generator(name, inference.resolve_device(device))
    return inference.shared_model(Generator, catalogue.find("generator", name), inference.resolve_device(device))


def _paint_all(
    generator: Generator, texts: list[str], *, seeds: range, edits: Sequence[Edit], **how: Any
) -> list[Picture] | list[list[Picture]]:
    n = len(seeds)
    each = [text for text in texts for _ in seeds]
    latents = [edit for edit in edits for _ in seeds]
    painted = generator(each, seeds=[*seeds] * len(texts), latents=latents, **how)
    return painted if n == 1 else [painted[i : i + n] for i in range(0, len(painted), n)]


def _start(positions: Sequence[Position]) -> list[Picture | None]:
    return [None if isinstance(position.before, str) else Picture(position.before) for position in positions]


def _round_seed(position: Position, what: str, seed_policy: str) -> int:
    """The seed of the next round's picture or caption."""
    rounds = (position.round,) if seed_policy == "fresh" else ()
    return inference.derived_seed(position.seed, position.number, *rounds, what)


def _name_of(image: Any) -> str:
    """The name of a file without its folder; empty for anything else."""
    return Path(os.fsdecode(image)).name if isinstance(image, str | os.PathLike) else ""
