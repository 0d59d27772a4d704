"""Figures for a paper: vector graphics at column width, fonts embedded, readable in grey and by colour-blind eyes.

>>> from telephonegan import figures
>>> with figures.style("sans", size=9, column=3.4):  # doctest: +SKIP
...     axes = figures.similarity_curves(rounds, {"tf-idf cosine": estimate}, floor=0.05, ceiling=0.4)
...     figures.save(axes.figure, "curves.pdf")
"""

from telephonegan.figures.attractors import attractor_histogram
from telephonegan.figures.caption_changes import caption_changes
from telephonegan.figures.curves import similarity_curves
from telephonegan.figures.film_strip import film_strip
from telephonegan.figures.image_grid import image_grid
from telephonegan.figures.meaning_and_looks import meaning_and_looks
from telephonegan.figures.style import save, style
from telephonegan.figures.survival import survival_curves
from telephonegan.figures.table import latex_table

__all__ = [
    "attractor_histogram",
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
