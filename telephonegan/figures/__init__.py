"""Figures for a paper: vector graphics at column width, fonts embedded, readable in grey and by colour-blind eyes.

>>> from telephonegan import figures
>>> with figures.style("sans", size=9, column=3.4):  # doctest: +SKIP
...     axes = figures.similarity_curves(rounds, {"tf-idf cosine": estimate}, levels={"chance": 0.05})
...     figures.save(axes.figure, "curves.pdf")
"""

from telephonegan.figures.captions import attractor_histogram, caption_changes
from telephonegan.figures.curves import meaning_and_looks, similarity_curves, survival_curves
from telephonegan.figures.flows import replacement_graph, transition_graph, word_river
from telephonegan.figures.lab import (
    bits_curves,
    coverage_curves,
    dose_response,
    draw_lab,
    kaplan_meier,
    loss_waterfall,
    race_of_laws,
    return_rates,
)
from telephonegan.figures.style import save, size, style
from telephonegan.figures.table import latex_table
from telephonegan.figures.tiles import film_strip, image_grid

__all__ = [
    "attractor_histogram",
    "bits_curves",
    "caption_changes",
    "coverage_curves",
    "dose_response",
    "draw_lab",
    "film_strip",
    "image_grid",
    "kaplan_meier",
    "latex_table",
    "loss_waterfall",
    "meaning_and_looks",
    "race_of_laws",
    "replacement_graph",
    "return_rates",
    "save",
    "similarity_curves",
    "size",
    "style",
    "survival_curves",
    "transition_graph",
    "word_river",
]
