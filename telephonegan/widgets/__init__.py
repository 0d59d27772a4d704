"""Notebook widgets for results: a slider over the rounds of a chain, attention maps per word, pictures in a grid.

They take results and run no model, except `Studio` and `HumanTurn`, which play with the telephone they are given. Every
state is rendered once and cached. A still picture is shown below each view for readers without a kernel.

>>> from telephonegan.widgets import ChainExplorer
>>> ChainExplorer(chain)  # doctest: +SKIP
"""

from telephonegan.widgets.attention import AttentionViewer
from telephonegan.widgets.explorer import ChainExplorer, Comparison
from telephonegan.widgets.frames import DescribedImage
from telephonegan.widgets.gallery import Gallery
from telephonegan.widgets.human_turn import HumanTurn
from telephonegan.widgets.studio import Studio

__all__ = ["AttentionViewer", "ChainExplorer", "Comparison", "DescribedImage", "Gallery", "HumanTurn", "Studio"]
