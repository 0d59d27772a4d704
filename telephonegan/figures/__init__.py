"""Figures for a paper: vector graphics at column width, fonts embedded, readable in grey and by colour-blind eyes.

>>> from telephonegan import figures
>>> with figures.style("sans", size=9, column=3.4):  # doctest: +SKIP
...     axes = figures.similarity_curves(rounds, {"tf-idf cosine": estimate}, levels={"chance": 0.05})
...     figures.save(axes.figure, "curves.pdf")
"""

from telephonegan.figures.captions import attractor_histogram, caption_changes
from telephonegan.figures.curves import meaning_and_looks, similarity_curves, survival_curves
from telephonegan.figures.latent import axis_grid, axis_matrix
from telephonegan.figures.style import save, style
from telephonegan.figures.table import latex_table
from telephonegan.figures.tiles import film_strip, image_grid

__all__ = [
    "attractor_histogram",
    "axis_grid",
    "axis_matrix",
    "caption_changes",
    "film_strip",
    "image_grid",
    "latex_table",
    "meaning_and_looks",
    "save",
    "similarity_curves",
    "style",
    "survival_curves",
]
