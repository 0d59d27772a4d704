"""Views over results for notebooks: sliders over the rounds of a chain, words over their maps, pictures in a grid.

Each takes a result and runs no model; `Studio` alone plays, through the telephone it is given. What is seen is drawn
once per state and kept. A still picture stands beneath each view, for where no kernel runs.

>>> from telephonegan.widgets import ChainExplorer
>>> ChainExplorer(chain)  # doctest: +SKIP
"""

from telephonegan.widgets.attention import AttentionViewer
from telephonegan.widgets.explorer import ChainExplorer, Comparison
from telephonegan.widgets.frames import DescribedImage
from telephonegan.widgets.gallery import Gallery
from telephonegan.widgets.studio import Studio

__all__ = ["AttentionViewer", "ChainExplorer", "Comparison", "DescribedImage", "Gallery", "Studio"]
