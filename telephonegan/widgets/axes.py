"""Knobs for a generator: move a picture along the axes of its features, lock some, undo, compare, keep and share."""

from __future__ import annotations

import logging
import random
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from telephonegan import strips
from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.files import png_bytes
from telephonegan.images import to_tensor
from telephonegan.latent.axes import AxisSet
from telephonegan.latent.features import Features
from telephonegan.latent.measure import features_of, standard_scores
from telephonegan.latent.walk import State, Walk
from telephonegan.results import Picture
from telephonegan.viewer import SCRIPT, STYLE
from telephonegan.viewer.knobs import KNOBS_SCRIPT, KNOBS_STYLE, described, knobs_data
from telephonegan.widgets.view import Keepsake, View, figure_keepsakes

_SLOW = 0.25  # seconds for a picture, above which a sketch is shown while a knob is dragged
_HARDLY = 0.02  # R² below which an axis does nothing that one could see
_REMEMBERED = 64  # pictures, so that undo and redo are at once
_GIF_SIDE, _GIF_STEPS, _MILLISECONDS = 256, 12, 80
_STRIP_STEPS = 4


@dataclass
class _Seen:
    """A picture that was painted, and its scores (k,) once they were measured."""

    picture: Picture
    scores: np.ndarray | None = None


class AxisExplorer(View):
    """A picture with a knob for every feature; `walk` is where it stands, and can be changed from code, too.

    A knob is moved by −, slider, + or a number of σ; a locked one stays while others move. The meters show how far each
    score has really moved. Undo, redo, reset, another random start, hold to compare with the start, and a text that
    restores the state. Generators that paint texts have a field for the caption; unless it is pinned, Random also takes
    another one of `texts`.

    `features` score the pictures (default: those the axes were found with, if they can be had). `names` selects
    features (default: all with an R² of at least 0.02). Raises SettingsError for an unknown name, or none.

    >>> walk = Walk(Generator.load("faces"), AxisSet.load("faces"), seed=3)  # doctest: +SKIP
    >>> AxisExplorer(walk)  # doctest: +SKIP
    """

    _esm = f"{SCRIPT.read_text(encoding='utf-8')}\n{KNOBS_SCRIPT.read_text(encoding='utf-8')}"
    _css = f"{STYLE.read_text(encoding='utf-8')}\n{KNOBS_STYLE.read_text(encoding='utf-8')}"

    def __init__(
        self,
        walk: Walk,
        *,
        features: Features | None = None,
        names: Sequence[str] | None = None,
        texts: Sequence[str] = (),
    ) -> None:
        self.walk = walk
        self.names = _chosen(walk.axes, names)
        self.features, self._why_not = (features, "") if features is not None else _features_of(walk)
        self.texts = list(dict.fromkeys([*([walk.state.text] if walk.state.text else []), *texts]))
        self.pinned = True
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._seconds = 0.0
        super().__init__(self._data(walk.state))

    def refresh(self) -> None:
        """Show where the walk stands, after it was changed from code."""
        self.show(self._data(self.walk.state))

    def still(self) -> tuple[Image.Image, str]:
        """The start and the picture that was made of it."""
        state = self.walk.state
        moved = [strips.Tile(self._picture(state).image, described(self.walk, state), "2", arrow=True)]
        start = strips.Tile(self._picture(state.part(0)).image, described(self.walk, state.part(0)), "1")
        return strips.strip([start, *(moved if state.steps else [])]), described(self.walk, state)

    def keepsakes(self) -> Sequence[Keepsake]:
        """The picture, the walk from the start to it, and for print the grid of all features."""
        from telephonegan.figures.latent import axis_grid

        stem = self.walk.generator.name
        return (
            Keepsake("PNG", f"{stem}.png", "The picture, pixel by pixel", self._png),
            Keepsake("GIF", f"{stem}-walk.gif", "The walk from the start to here and back", self._gif),
            Keepsake("Film strip", f"{stem}-strip.png", "The walk in four pictures", self._strip),
            *figure_keepsakes(f"{stem}-grid", lambda: axis_grid(self.walk, names=self._movable())),
        )

    # ------------------------------------------------------------------------------------------------ wishes

    def _heard(self, widget: Any, message: Mapping[str, Any], buffers: Any) -> None:
        super()._heard(widget, message, buffers)
        if "do" in message:
            self._answer(message)

    def _answer(self, wish: Mapping[str, Any]) -> None:
        """Do what the browser wishes, and show the result or what is wrong with it."""
        # Measuring comes by itself, and must not take away what the reader has to read.
        told = {"answered": wish.get("id"), "error": self.data["error"] if wish["do"] == "measure" else ""}
        try:
            self.show(self._fulfilled(wish) | told)
        except TelephoneganError as error:
            self.show({**self.data, **told, "error": str(error)})
        except Exception as error:
            logging.getLogger(__name__).exception("in the explorer of axes")
            self.show({**self.data, **told, "error": f"Unexpected: {type(error).__name__}: {error}"})

    def _fulfilled(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        walk = self.walk
        match wish:
            case {"do": "try", "name": name, "sigmas": sigmas}:
                return self._data(walk.moved(name, sigmas), is_sketch=True)
            case {"do": "measure"}:
                return self._data(self._on_display, measure=True)
            case {"do": "set", "name": name, "sigmas": sigmas}:
                if walk.moved(name, sigmas) != walk.state:
                    walk.set(name, sigmas)
            case {"do": "lock", "name": name, "locked": bool(locked)}:
                walk.lock(name, locked)
            case {"do": "undo"}:
                walk.undo()
            case {"do": "redo"}:
                walk.redo()
            case {"do": "reset"}:
                walk.reset()
            case {"do": "random"}:
                self._roll()
            case {"do": "text", "text": str(text)}:
                walk.retext(text.strip())
            case {"do": "pin", "pinned": bool(pinned)}:
                self.pinned = pinned
            case {"do": "restore", "text": str(text)}:
                walk.restore(text)
            case _:
                raise SettingsError(f"The explorer cannot do {dict(wish)!r:.80}.")
        return self._data(walk.state)

    def _roll(self) -> None:
        others = [each for each in self.texts if each != self.walk.state.text]
        text = random.choice(others) if others and not self.pinned else None
        self.walk.random(random.randrange(10_000), text)  # short enough to remember

    # ------------------------------------------------------------------------------------------------ looking

    def _data(self, state: State, *, is_sketch: bool = False, measure: bool = False) -> dict[str, Any]:
        """What the browser draws; a sketch may be small, if that is faster. Measuring needs the whole picture."""
        self._on_display = state
        picture = self._sketch(state) if is_sketch else self._picture(state)
        changes = self._changes(state) if measure or self._is_measured(state) else None
        data = knobs_data(
            self.walk, picture, self._picture(state.part(0)), names=self.names, state=state, changes=changes
        )
        own = {
            "texts": self.texts,
            "pinned": self.pinned,
            "measurable": self.features is not None,
            "why_not": self._why_not,
            "omitted": [name for name in self.walk.axes.names if name not in self.names],
            "answered": None,
            "error": "",
        }
        return data | own

    def _picture(self, state: State) -> Picture:
        return self._painted(state).picture

    def _painted(self, state: State) -> _Seen:
        """The picture of a state, painted if it is not among the last ones."""
        key = self._key(state)
        if key not in self._seen:
            start = time.perf_counter()
            self._seen[key] = _Seen(self.walk.picture(state))
            self._seconds = time.perf_counter() - start
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return self._seen[key]

    def _key(self, state: State) -> str:
        """The same for all states of the same picture."""
        return self.walk.share(replace(state, locked=frozenset()))

    def _sketch(self, state: State) -> Picture:
        is_slow = self._seconds > _SLOW and self._key(state) not in self._seen
        return (self.walk.sketch(state) if is_slow else None) or self._picture(state)

    # ------------------------------------------------------------------------------------------------ measuring

    def _origins(self, state: State) -> dict[str, State]:
        """From where the change of each score counts: the start, for a locked one what was there when it was locked."""
        start = state.part(0)
        return {name: state.before(name) if name in state.locked else start for name in self.names}

    def _is_measured(self, state: State) -> bool:
        keys = map(self._key, [state, *self._origins(state).values()])
        return all(key in self._seen and self._seen[key].scores is not None for key in keys)

    def _changes(self, state: State) -> dict[str, float] | None:
        """How far each score has moved, in standard deviations; None without features."""
        if self.features is None:
            return None
        changes = {}
        for name, origin in self._origins(state).items():
            column = self.walk.axes.index(name)
            changes[name] = round(float(self._scores(state)[column] - self._scores(origin)[column]), 4)
        return changes

    def _scores(self, state: State) -> np.ndarray:
        seen, generator = self._painted(state), self.walk.generator
        if seen.scores is None:
            image = to_tensor([seen.picture.image], generator.size).to(generator.device)
            seen.scores = standard_scores(self.walk.axes, self.features, image)[0]
        return seen.scores

    # ------------------------------------------------------------------------------------------------ keeping

    def _png(self) -> bytes:
        return png_bytes(self._picture(self.walk.state).image)

    def _gif(self) -> bytes:
        pictures = [strips.scaled(image, _GIF_SIDE) for image in self._way(_GIF_STEPS)]
        return strips.gif([*pictures, *pictures[-2:0:-1]], _MILLISECONDS)

    def _strip(self) -> bytes:
        tiles = [strips.Tile(image, "", str(number)) for number, image in enumerate(self._way(_STRIP_STEPS), 1)]
        tiles[-1] = strips.Tile(tiles[-1].image, described(self.walk, self.walk.state), tiles[-1].head)
        return png_bytes(strips.strip(tiles))

    def _way(self, count: int) -> list[Image.Image]:
        """Pictures from the start to here. Raises SettingsError if nothing was moved."""
        state = self.walk.state
        if not state.steps:
            raise SettingsError("Nothing has been moved yet, so there is no walk to keep. Move a knob first.")
        return [self._picture(state.part(place / (count - 1))).image for place in range(count)]

    def _movable(self) -> list[str]:
        unable = {*self.walk.disabled(), *self.walk.state.locked}
        return [name for name in self.names if name not in unable]


def _chosen(axes: AxisSet, names: Sequence[str] | None) -> list[str]:
    """The features that get a knob. Raises SettingsError."""
    if names is not None:
        chosen = [axes.names[axes.index(name)] for name in dict.fromkeys(names)]
    else:
        chosen = [name for name in axes.names if axes.r2 is None or axes.r2[axes.index(name)] >= _HARDLY]
    if not chosen:
        raise SettingsError(f"There is no feature to move. Name some of {', '.join(axes.names)}: names=[…].")
    return chosen


def _features_of(walk: Walk) -> tuple[Features | None, str]:
    """The features that the axes were found with, or why there are none."""
    try:
        return features_of(walk.axes, walk.generator.device), ""
    except TelephoneganError as error:
        return None, f"Scores are not measured here. {error}"
