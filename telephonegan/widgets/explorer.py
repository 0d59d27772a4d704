"""Games round by round: one with attention and drift, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from telephonegan import strips
from telephonegan.chain_folder import ChainFolder
from telephonegan.chains import Chain
from telephonegan.drift import Drift, Track
from telephonegan.errors import SettingsError
from telephonegan.files import dated_folder
from telephonegan.viewer import game_page, games_data
from telephonegan.widgets.view import Keepsake, View, figure_keepsakes, picture_keepsake

MOST_SIDE_BY_SIDE = 4
_MILLISECONDS = 1200


class GameView(View):
    """Games side by side under one slider; `chains` are on display, and `show_games` shows others."""

    def __init__(self, chains: Sequence[Chain], *, drift: Drift | None = None, titles: Sequence[str] = ()) -> None:
        self.chains = list(chains)
        super().__init__(games_data(self.chains, drift=drift, titles=titles))

    def show_games(self, chains: Sequence[Chain], *, titles: Sequence[str] = (), follow: bool = False) -> None:
        """Show these games. With `follow` a view at its last round goes on to one that is added."""
        self.chains = list(chains)
        self.show(games_data(self.chains, titles=titles, follow=follow))

    def still(self) -> tuple[Image.Image, str] | None:
        """The strips of all games, one above the other."""
        if not self.chains:
            return None
        words = " / ".join("; ".join(f"{each.index}: {each.caption}" for each in chain) for chain in self.chains)
        return _strips(self.chains), words

    def keepsakes(self) -> Sequence[Keepsake]:
        """A folder, the strip, a GIF, a page, and figures for print."""
        if not self.chains:
            return ()
        chains, stem = self.chains, "-".join(["game", *(f"seed{chain.seed}" for chain in self.chains)])
        return (
            Keepsake("Save folder", "", "Everything, where the notebook's kernel runs", lambda: _saved(chains)),
            picture_keepsake(stem, lambda: _strips(chains)),
            Keepsake("GIF", f"{stem}.gif", "The rounds as an animation", lambda: _gif(chains)),
            Keepsake("HTML", f"{stem}.html", "A page to play with in any browser", lambda: game_page(*chains).encode()),
            *figure_keepsakes(stem, lambda: _film_strip(chains)),
        )


class ChainExplorer(GameView):
    """A slider and a Play button over the rounds of a chain; `round` is the one on display.

    Each round shows the picture, where the captioner looked and where the generator painted the chosen word, the drift
    curves with a marker, and both captions with words kept, lost and new. Pointing at a word shows its maps, pointing
    at the picture lights up the words that looked there. The curves are those measures of `drift` (default: word
    measures only) that compare texts with texts or pictures with pictures. Runs no model.
    Raises SettingsError for a chain without rounds.

    >>> ChainExplorer(chain, drift=chain.drift())  # doctest: +SKIP
    """

    def __init__(self, chain: Chain, *, drift: Drift | None = None) -> None:
        super().__init__([chain], drift=drift)


class Comparison(GameView):
    """Two to four chains under one slider, such as seeds of one photograph. A shorter one waits at its end.

    Raises SettingsError for another number of chains, or one without rounds.

    >>> Comparison([phone.play(image="bear.jpg", seed=seed) for seed in (0, 1)])  # doctest: +SKIP
    """

    def __init__(self, chains: Sequence[Chain]) -> None:
        chains = [chains] if isinstance(chains, Chain) else list(chains)
        if not 2 <= len(chains) <= MOST_SIDE_BY_SIDE:
            raise SettingsError(f"{len(chains)} chains were given. Give a list of 2 to {MOST_SIDE_BY_SIDE} to compare.")
        super().__init__(chains, titles=[f"seed {chain.seed}" for chain in chains])


def _strips(chains: Sequence[Chain]) -> Image.Image:
    return strips.beside([chain.strip() for chain in chains], below=True)


def _saved(chains: Sequence[Chain]) -> Path:
    """A new folder in out/, which holds one folder for each of several games."""
    folder = dated_folder(Path("out"), chains[0].source_name or "game")
    if len(chains) == 1:
        ChainFolder(folder).finish(chains[0])
        return folder
    for number, chain in enumerate(chains, 1):
        chain.save(folder / f"{number}-seed{chain.seed}")
    return folder


def _gif(chains: Sequence[Chain]) -> bytes:
    """The rounds of all chains side by side; a shorter one waits at its end."""
    games = [chain.frames() for chain in chains]
    longest = max(map(len, games))
    sheets = [strips.beside([frames[min(t, len(frames) - 1)] for frames in games]) for t in range(longest)]
    return strips.gif(sheets, _MILLISECONDS)


def _film_strip(chains: Sequence[Chain]) -> Any:
    from telephonegan.figures.tiles import chain_strips

    return chain_strips([Track.of(chain) for chain in chains])
