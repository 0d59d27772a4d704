"""Two games side by side."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.errors import SettingsError
from telephonegan.strips import PAPER
from telephonegan.widgets.round_panel import RoundPanel
from telephonegan.widgets.round_slider import RoundSlider
from telephonegan.widgets.view import View

_SIDE = 384
_GAP = 24


class Comparison(View):
    """Two chains under one slider, `rounds.slider`: of one photograph with two seeds, say. A chain that is over waits.

    `panels` hold the picture and the caption of each. Raises SettingsError for another number of chains, and for one
    without a round.

    >>> Comparison([phone.play(image="bear.jpg", seed=seed) for seed in (0, 1)])  # doctest: +SKIP
    """

    def __init__(self, chains: Sequence[Chain]) -> None:
        chains = [chains] if isinstance(chains, Chain) else list(chains)
        if len(chains) != 2:
            raise SettingsError(f"{len(chains)} chains were given. Two can be compared: give a list of two.")
        self._chains = chains
        self.panels = [RoundPanel(chain, title=f"seed {chain.seed}", side=_SIDE) for chain in chains]
        self.rounds = RoundSlider(max(panel.last for panel in self.panels), self._show_round)
        self._show_round(0)
        wide = {"width": f"{_SIDE}px", "flex": "0 0 auto"}
        columns = [ipywidgets.VBox([p.picture, p.caption], layout=ipywidgets.Layout(**wide)) for p in self.panels]
        for panel in self.panels:
            panel.caption.layout.height = "230px"
        wrapped = ipywidgets.Layout(flex_flow="row wrap", grid_gap=f"{_GAP}px")
        super().__init__([self.rounds, ipywidgets.Box(columns, layout=wrapped)])

    def still(self) -> tuple[Image.Image, str]:
        """One strip above the other."""
        upper, lower = (chain.strip() for chain in self._chains)
        sheet = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), PAPER)
        sheet.paste(upper, (0, 0))
        sheet.paste(lower, (0, upper.height))
        return sheet, " / ".join("; ".join(map(str, chain.captions)) for chain in self._chains)

    def _show_round(self, index: int) -> None:
        for panel in self.panels:
            panel.show(min(index, panel.last))
