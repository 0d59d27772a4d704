"""The way of a plug & play sampling: its pictures under a slider, the probability, and knobs to sample again."""

from __future__ import annotations

from collections.abc import Sequence
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
_TILES_PER_ROW = 6
_KNOBS = {  # setting → the exponents between which a slider moves, what it is called, and its explanation
    "epsilon1": (-7, 0, "ε1 prior", "how strongly codes are pulled to usual ones"),
    "epsilon2": (-3, 2, "ε2 condition", "how strongly the condition is followed"),
    "noise_rel": (-4, 0, "noise", "in proportion to the step"),
    "lr": (-2, 1, "step", "the mean change of a number of the code"),
}


class FramesView(View):
    """The kept pictures of one seed, with the probability of what was sought; at most 200, evenly spaced."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self.sampling, self.seed = sampling, seed
        super().__init__(frames_data(self.frames(), self._label()))

    def show_sampling(self, sampling: Sampling, seed: int) -> None:
        """Show another sampling."""
        self.sampling, self.seed = sampling, seed
        self.show(frames_data(self.frames(), self._label()))

    def frames(self, most: int = MOST) -> list[Frame]:
        """The frames that are shown. Raises SettingsError if none was kept."""
        kept = self.sampling.of(self.seed)
        last = self.sampling.lasts.get(self.seed)
        if last is not None and (not kept or kept[-1].step != last.step):
            kept = [*kept, last]
        if not kept:
            raise SettingsError(f"No picture of seed {self.seed} was kept. Lower threshold, or sample again.")
        places = np.unique(np.linspace(0, len(kept) - 1, min(most, len(kept))).round().astype(int))
        return [kept[place] for place in places]

    def _label(self) -> str:
        return " → ".join(dict.fromkeys(frame.label for frame in self.frames()))

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
        return animation(self.sampling, self.seed, milliseconds=MILLISECONDS)

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
    the same seed; `sampling` is the last. The buttons below keep an animation, a strip, or a figure for print.
    Raises SettingsError if no picture of the seed was kept.

    >>> ChainPlayer(sampler.run([0]), sampler)  # doctest: +SKIP
    """

    def __init__(self, sampling: Sampling, sampler: Sampler | None = None, *, seed: int | None = None) -> None:
        self.sampling, self.sampler = sampling, sampler
        self.view = FramesView(sampling, sampling.seeds[0] if seed is None else seed)
        self.status = ipywidgets.HTML(layout=ipywidgets.Layout(max_width=MAX_WIDTH))
        self.knobs: dict[str, Any] = {} if sampler is None else self._make_knobs(sampler)
        self.button = ipywidgets.Button(description="Sample again", icon="refresh", button_style="primary")
        self.button.on_click(lambda _: self.sample())
        super().__init__([self.view, *([] if sampler is None else [self._controls(), self.status])])

    def sample(self) -> None:
        """Sample again with the values of the knobs; what fails is said below them."""
        settings = {name: knob.value for name, knob in self.knobs.items()}
        again = Sampler(
            self.sampler.decoder,
            self.sampler.conditions,
            prior=self.sampler.prior,
            hole=self.sampler.hole,
            settings=replace(self.sampler.settings, **settings),
        )
        self.button.disabled = True
        self.status.value = card_html(faint_html(f"sampling {again.steps} steps …"))
        try:
            sampling = again.run([self.view.seed], progress=False)
            self.view.show_sampling(sampling, self.view.seed)
        except TelephoneganError as error:
            self.status.value = error_html(str(error))
        else:
            self.sampling = sampling
            self.status.value = card_html(faint_html(_told(sampling, self.view.seed)))
        finally:
            self.button.disabled = False

    def still(self) -> tuple[Image.Image, str]:
        """That of the pictures."""
        return self.view.still()

    def close(self) -> None:
        """Close the widget and all of its parts."""
        if self.comm is not None:
            for part in (*parts_of(self), self.button, self.status):
                part.close()
            super().close()

    def _make_knobs(self, sampler: Sampler) -> dict[str, Any]:
        knobs = {}
        for name, (low, high, label, told) in _KNOBS.items():
            value = getattr(sampler.settings, name)
            how = {"description": label, "tooltip": told, "continuous_update": False, "readout_format": ".1e"}
            if 10.0**low <= value <= 10.0**high:
                knobs[name] = ipywidgets.FloatLogSlider(value=value, min=low, max=high, **how)
            else:  # such as 0, which no logarithmic slider reaches
                knobs[name] = ipywidgets.BoundedFloatText(value=value, min=0, max=1e6, description=label, tooltip=told)
        iterations = {"value": sampler.settings.n_iters, "min": 1, "max": 10_000}
        return {**knobs, "n_iters": ipywidgets.BoundedIntText(**iterations, description="steps")}

    def _controls(self) -> ipywidgets.Box:
        flow = ipywidgets.Layout(flex_flow="row wrap", max_width=MAX_WIDTH)
        return ipywidgets.Box([*self.knobs.values(), self.button], layout=flow)


def _told(sampling: Sampling, seed: int) -> str:
    if seed in sampling.stopped:
        return f"Ended early, at {sampling.stopped[seed]}"
    last = sampling.last(seed)
    return f"{last.label} {last.probability:.0%} after {last.step} steps"
