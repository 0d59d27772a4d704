"""Notebook widgets for results: a slider over the rounds of a chain, attention maps per word, pictures in a grid.

They take results and run no model, except `Studio` and `HumanTurn`, which play, `AxisExplorer`, which paints,
`ChainPlayer`, which samples, and `TrainingView`, which trains. Views can be kept as files, by buttons below them, and
have a still picture in the same output for readers without a kernel.

>>> from telephonegan.widgets import ChainExplorer
>>> ChainExplorer(chain)  # doctest: +SKIP
"""

from telephonegan.widgets.attention import AttentionViewer
from telephonegan.widgets.axes import AxisExplorer
from telephonegan.widgets.chain_player import ChainPlayer
from telephonegan.widgets.explorer import ChainExplorer, Comparison
from telephonegan.widgets.frames import DescribedImage
from telephonegan.widgets.gallery import Gallery
from telephonegan.widgets.human_turn import HumanTurn
from telephonegan.widgets.studio import Studio
from telephonegan.widgets.training import TrainingView

__all__ = [
    "AttentionViewer",
    "AxisExplorer",
    "ChainExplorer",
    "ChainPlayer",
    "Comparison",
    "DescribedImage",
    "Gallery",
    "HumanTurn",
    "Studio",
    "TrainingView",
]
