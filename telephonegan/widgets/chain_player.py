"""The way of a plug & play sampling: its pictures under a slider, the probability, and knobs to sample again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from telephonegan import strips
from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.latent.examples import MILLISECONDS, animation
from telephonegan.latent.sampler import Frame, Sampler, Sampling
from telephonegan.viewer import frames_data
from telephonegan.widgets.messages import card_html, error_html, faint_html
from telephonegan.widgets.view import MAX_WIDTH, Keepsake, Stilled, View, figure_keepsakes, parts_of, picture_keepsake

MOST = 200  # pictures sent to the browser
_STILL = 12
_SECONDS = 0.5  # between two words on how far a sampling is
_IDLE, _BUSY = "Sample again", "Stop"
_TILES_PER_ROW = 6
_KNOBS = {  # setting → the exponents between which a slider moves, what it is called, and its explanation
    "epsilon1": (-7, 0, "ε1 prior", "how strongly codes are pulled to usual ones"),
    "epsilon2": (-3, 2, "ε2 condition", "how strongly the condition is followed"),
    "noise_rel": (-4, 0, "noise", "in proportion to the step"),
    "lr": (-2, 1, "step", "the mean change of a number of the vector"),
}


class FramesView(View):
    """The kept pictures of one seed, with the probability of what was sought; at most 200, evenly spaced."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self.seed, self._frames = seed, _kept(sampling, seed)
        super().__init__(self._data())

    def show_sampling(self, sampling: Sampling, seed: int) -> None:
        """Show another sampling. Raises SettingsError, and shows what it did, if no picture of the seed was kept."""
        self.seed, self._frames = seed, _kept(sampling, seed)
        self.show(self._data())

    def frames(self, most: int = MOST) -> list[Frame]:
        """The frames that are shown, or at most so many of them."""
        places = np.unique(np.linspace(0, len(self._frames) - 1, min(most, len(self._frames))).round().astype(int))
        return [self._frames[place] for place in places]

    def _data(self) -> dict[str, Any]:
        shown = self.frames()
        return frames_data(shown, " → ".join(dict.fromkeys(frame.label for frame in shown)))

    def still(self) -> tuple[Image.Image, str]:
        """At most 12 of the pictures, with their steps and probabilities."""
        tiles = self._tiles()
        return strips.strip(tiles), "; ".join(f"step {tile.head}: {tile.text}" for tile in tiles)

    def keepsakes(self) -> Sequence[Keepsake]:
        """An animation, a strip, and figures for print."""
        stem = f"sampling-seed{self.seed}"
        return (
            Keepsake("GIF", f"{stem}.gif", "The pictures as an animation", self._gif),
            picture_keepsake(stem, lambda: self.still()[0]),
            *figure_keepsakes(stem, self._figure),
        )

    def _gif(self) -> bytes:
        return animation(self.frames(), milliseconds=MILLISECONDS)

    def _tiles(self) -> list[strips.Tile]:
        return [
            strips.Tile(frame.image, f"{frame.label} {frame.probability:.0%}", f"{frame.step}")
            for frame in self.frames(_STILL)
        ]

    def _figure(self) -> Any:
        from telephonegan.figures.tiles import draw_tiles

        tiles = self._tiles()
        return draw_tiles([tiles[i : i + _TILES_PER_ROW] for i in range(0, len(tiles), _TILES_PER_ROW)])


class ChainPlayer(Stilled, ipywidgets.VBox):
    """A slider and Play over the pictures of a sampling, and the probability at each.

    With its `sampler`, there are knobs for the prior, the condition, noise and step, and a button to sample again from
    the same seed, which also stops that; `sampling` is the last. The buttons below the pictures keep an animation, a
    strip, or a figure for print. Raises SettingsError if no picture of the seed was kept.

    >>> ChainPlayer(sampler.run([0]), sampler)  # doctest: +SKIP
    """

    def __init__(self, sampling: Sampling, sampler: Sampler | None = None, *, seed: int | None = None) -> None:
        self.sampling, self.sampler = sampling, sampler
        self._stop, self._worker = threading.Event(), None
        self.view = FramesView(sampling, sampling.seeds[0] if seed is None else seed)
        self.status = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="40px", max_width=MAX_WIDTH))
        self.knobs: dict[str, Any] = {} if sampler is None else self._make_knobs(sampler)
        self.button = ipywidgets.Button(description=_IDLE, icon="refresh", button_style="primary")
        self.button.on_click(self._start_or_stop)
        super().__init__([self.view, *([] if sampler is None else [self._controls(), self.status])])
        self.add_class("tg-player")
        self._say(_told(sampling, self.view.seed))

    def sample(self) -> None:
        """Sample again with the values of the knobs, and return when that is over; what fails is said below them."""
        self._stop.clear()
        with self._busy(), self._reported():
            again = self._sampler()
            sampling = again.run([self.view.seed], on_step=self._follower(again.steps), progress=False)
            self.view.show_sampling(sampling, self.view.seed)
            self.sampling = sampling
            self._say(_told(sampling, self.view.seed))

    def stop(self) -> None:
        """End the sampling that is at work after its present step; its pictures are kept."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Return when the sampling that the button began is over, or after so many seconds."""
        if self._worker is not None:
            self._worker.join(seconds)

    def still(self) -> tuple[Image.Image, str]:
        """That of the pictures."""
        return self.view.still()

    def close(self) -> None:
        """Close the widget and all of its parts."""
        self.stop()
        if self.comm is not None:
            for part in {*parts_of(self), *parts_of(self.button), self.button, *parts_of(self.status), self.status}:
                part.close()
            super().close()

    # ------------------------------------------------------------------------------------------------ controls

    def _make_knobs(self, sampler: Sampler) -> dict[str, Any]:
        knobs = {}
        for name, (low, high, label, told) in _KNOBS.items():
            value = getattr(sampler.settings, name)
            how = {"description": label, "tooltip": told}
            if 10.0**low <= value <= 10.0**high:
                slider = {"continuous_update": False, "readout_format": ".1e"}
                knobs[name] = ipywidgets.FloatLogSlider(value=value, min=low, max=high, **slider, **how)
            else:  # such as 0, which no logarithmic slider reaches
                knobs[name] = ipywidgets.BoundedFloatText(value=value, min=0, max=1e6, **how)
        iterations = {"value": sampler.settings.n_iters, "min": 1, "max": 10_000}
        told = "for each condition"
        return {**knobs, "n_iters": ipywidgets.BoundedIntText(**iterations, description="steps", tooltip=told)}

    def _controls(self) -> ipywidgets.GridBox:
        for knob in self.knobs.values():
            knob.style.description_width = "84px"
            knob.layout.width = "auto"
        self.button.layout.margin = "2px 2px 2px 92px"  # below the numbers, not their names
        columns = "repeat(auto-fill, minmax(min(100%, 280px), 1fr))"
        grid = ipywidgets.Layout(grid_template_columns=columns, grid_gap="0 8px", max_width=MAX_WIDTH)
        return ipywidgets.GridBox([*self.knobs.values(), self.button], layout=grid)

    def _say(self, text: str) -> None:
        self.status.value = card_html(faint_html(text))

    # ------------------------------------------------------------------------------------------------ sampling

    def _start_or_stop(self, _: ipywidgets.Button) -> None:
        """Sample in a thread of its own, so that the kernel can hear Stop meanwhile."""
        if self._worker is not None and self._worker.is_alive():
            self.stop()
        else:
            self._worker = threading.Thread(target=self.sample, daemon=True)
            self._worker.start()

    def _sampler(self) -> Sampler:
        """The sampler with the values of the knobs."""
        settings = {name: knob.value for name, knob in self.knobs.items()}
        return Sampler(
            self.sampler.decoder,
            self.sampler.conditions,
            prior=self.sampler.prior,
            hole=self.sampler.hole,
            settings=replace(self.sampler.settings, **settings),
        )

    def _follower(self, steps: int) -> Callable[[Sampling], None]:
        """A function that tells how far a sampling is, and ends it when that is wanted."""
        told = 0.0

        def follow(sampling: Sampling) -> None:
            nonlocal told
            if self._stop.is_set():
                raise KeyboardInterrupt  # with which a sampler returns what there is
            if time.monotonic() - told > _SECONDS:
                told = time.monotonic()
                self._say(f"step {sampling.state.step} of {steps}")

        return follow

    @contextmanager
    def _busy(self) -> Iterator[None]:
        try:
            for knob in self.knobs.values():
                knob.disabled = True
            self.button.description, self.button.icon, self.button.button_style = _BUSY, "stop", "danger"
            yield
        finally:
            for knob in self.knobs.values():
                knob.disabled = False
            self.button.description, self.button.icon, self.button.button_style = _IDLE, "refresh", "primary"

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except TelephoneganError as error:
            self.status.value = error_html(str(error))
        except Exception as error:
            logging.getLogger(__name__).exception("in the player of a sampling")
            self.status.value = error_html(f"Unexpected: {type(error).__name__}: {error}")


def _kept(sampling: Sampling, seed: int) -> list[Frame]:
    """The frames kept of a seed, and where it was seen last. Raises SettingsError if there is none."""
    kept, last = sampling.of(seed), sampling.lasts.get(seed)
    if last is not None and (not kept or kept[-1].step != last.step):
        kept = [*kept, last]
    if not kept:
        raise SettingsError(f"No picture of seed {seed} was kept. Lower threshold, or sample again.")
    return kept


def _told(sampling: Sampling, seed: int) -> str:
    if seed in sampling.stopped:
        return f"Ended early, at {sampling.stopped[seed]}"
    last = sampling.last(seed)
    stopped = "" if sampling.is_finished else ", stopped"
    return f"{last.label} {last.probability:.0%} after {last.step} steps{stopped}"
