"""The README's pictures from the shipped weights: python docs/make_pictures.py

docs/grid.png comes from `telephonegan evaluate generator flickr8k --data flickr8k --grid docs/grid.png`, since its
captions are not part of this repository.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

import telephonegan as tg
from telephonegan import figures
from telephonegan.experiment.summary import estimate, read_summary
from telephonegan.figures.experiment import levels_of
from telephonegan.files import png_bytes, replace
from telephonegan.results import Picture
from telephonegan.samples import sample
from telephonegan.strips import Tile, strip

HERE = Path(__file__).parent
RESULTS = HERE.parent / "notebooks" / "results"
SENTENCES = [
    *("a black dog runs through the snow", "a brown dog runs through the green grass", "a surfer rides a big wave"),
    *("a man in a red shirt climbs a rock", "two children play on the beach"),
    *("a football player in a red uniform runs", "a group of people stand in front of a building"),
    *("a boy jumps into a blue swimming pool", "a girl in a pink dress smiles"),
]
PRODUCTS = [
    *("a navy blue checked shirt", "a pair of red sports shoes", "a pink top for women", "a black leather handbag"),
    *("a pair of brown sandals", "a silver watch", "a green polo tshirt", "a yellow printed kurta", "a black belt"),
]


def main() -> None:
    write("strip", tg.play(image=sample("astronaut"), rounds=8, seed=0).strip_png())
    write("sentences", png_bytes(sheet(tg.generate(SENTENCES, seed=0))))
    write("drift", drift_curves())
    write("fashion", png_bytes(sheet(tg.generate(PRODUCTS, seed=0, generator="fashion"))))


def sheet(painted: list[Picture]) -> object:
    tiles = [Tile(each.image, each.text, str(number)) for number, each in enumerate(painted, 1)]
    return strip(tiles)


def drift_curves() -> bytes:
    """How captions and their words fare in the shipped experiment."""
    fresh, fixed = (read_summary(RESULTS / policy) for policy in ("fresh", "fixed"))
    told, survival = fresh["measures"]["semantic_cosine"], fresh["survival"]
    starts = {
        "new noise every round": estimate(told["start"]),
        "the same noise": estimate(fixed["measures"]["semantic_cosine"]["start"]),
    }
    shown = {kind: each for kind, each in survival.items() if kind != "other"}
    kinds = {f"{kind} ({each['sources']})": estimate(each["share"]) for kind, each in shown.items()}
    with figures.style("sans", size=9, column=8):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        figures.similarity_curves(told["rounds"], starts, left, levels=levels_of(told))
        left.set(ylabel="sentence cosine to round 0", ylim=(0, None))
        chance = {"all, by chance": estimate(survival["all"]["chance"]).value}
        figures.survival_curves(survival["all"]["rounds"], kinds, right, levels=chance)
        stream = BytesIO()
        figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()


def write(name: str, content: bytes) -> None:
    replace(HERE / f"{name}.png", content)


if __name__ == "__main__":
    main()
