"""The README's pictures from the shipped weights: python -m docs.make_pictures, or some of them: … flowers birds

docs/grid.png comes from `telephonegan evaluate generator flickr8k --data flickr8k --grid docs/grid.png`, since its
captions are not part of this repository.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import telephonegan as tg
from telephonegan import figures
from telephonegan.evaluation.guided import CLASSES
from telephonegan.experiment.summary import estimate, read_summary
from telephonegan.figures.experiment import levels_of
from telephonegan.files import png_bytes, replace
from telephonegan.generation import Generator
from telephonegan.latent import CodeDecoder, Sampler, image_class
from telephonegan.samples import sample
from telephonegan.strips import Tile, gif, montage, strip

HERE = Path(__file__).parent
RESULTS = HERE.parent / "notebooks" / "results"
SENTENCES = [
    *("a black dog runs through the snow", "a brown dog runs through the green grass", "a surfer rides a big wave"),
    *("a man in a red shirt climbs a rock", "two children play on the beach"),
    *("a football player in a red uniform runs", "a group of people stand in front of a building"),
    *("a boy jumps into a blue swimming pool", "a girl in a pink dress smiles"),
]
EXPLORED = "two dogs play in the snow"
GUIDED, GUIDED_SEEDS = "a dog runs in the grass", (2, 7)
PRODUCTS = [
    *("a navy blue checked shirt", "a pair of red sports shoes", "a pink top for women", "a black leather handbag"),
    *("a pair of brown sandals", "a silver watch", "a green polo tshirt", "a yellow printed kurta", "a black belt"),
]
FLOWERS = [
    *("a lavender flower with spiky petals", "a bright yellow flower with many thin petals and a brown center"),
    *("a pale pink flower with pointed petals", "a large flower with wide purple petals and a yellow middle"),
    *("small white petals around a yellow center", "a red flower with a black center"),
    *("a blue flower with thin petals among green leaves", "a round orange flower with many layers of petals"),
    "a violet bell shaped flower on a green stem",
]
TWO = ["a purple flower with pointed petals", "a yellow flower with round petals"]
BIRDS = [
    *("a yellow bird with a gray head", "a black bird with orange wings", "a red bird with black wings"),
    *("a blue bird with a white belly on a branch", "a small gray bird with a white chest"),
    *("a white bird with a black head above the water", "a brown bird with a white eyebrow"),
    *("a black bird with a long pointed beak", "a large black bird with white feet swimming on the water"),
]


def main(names: list[str]) -> None:
    pictures = {
        "strip": lambda: tg.play(image=sample("astronaut"), rounds=8, seed=0).strip_png(),
        "sentences": lambda: sheet(SENTENCES, "flickr8k"),
        "explorer": explorer,
        "drift": drift_curves,
        "fashion": lambda: sheet(PRODUCTS, "fashion"),
        "flowers": lambda: sheet(FLOWERS, "flowers"),
        "birds": lambda: sheet(BIRDS, "birds"),
        "fashion-free": lambda: without_text("fashion-free"),
        "guide": guided,
        "classes": sampled_classes,
        "gan-cls-flowers": two_sentences,
    }
    for name in names or pictures:
        replace(HERE / f"{name}.{'gif' if name == 'explorer' else 'png'}", pictures[name]())


def explorer() -> bytes:
    """A game from a sentence in an exported page, round by round as an animation; needs Chromium and playwright."""
    from playwright.sync_api import sync_playwright

    from tests.chromium import chromium

    game = tg.play(text=EXPLORED, rounds=8, seed=0, progress=False)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as player:
        page = chromium(player).new_page(viewport={"width": 1000, "height": 800})
        page.goto(game.export(Path(folder) / "game.html").as_uri())
        frames = []
        for index in range(len(game)):
            page.get_by_role("slider").fill(f"{index}")
            page.get_by_role("slider").evaluate("slider => slider.blur()")
            page.wait_for_timeout(300)  # the pictures of a round are decoded when they are first shown
            frames.append(Image.open(BytesIO(page.locator(".tg-view").screenshot())).convert("RGB"))
    return gif(frames, 1200)


def sheet(sentences: list[str], generator: str) -> bytes:
    painted = tg.generate(sentences, seed=0, generator=generator)
    return png_bytes(strip([Tile(each.image, each.text, str(number)) for number, each in enumerate(painted, 1)]))


def two_sentences() -> bytes:
    """The pictures of seeds 0 to 7 for each of two sentences, by GAN-CLS."""
    painter = Generator.load("gan-cls-flowers")
    tiles = [
        Tile(picture.image, text if seed == 0 else "", str(seed))
        for text in TWO
        for seed, picture in enumerate(painter([text] * 8, seeds=range(8)))
    ]
    grid = strip(tiles)
    return png_bytes(grid.resize((grid.width // 2, grid.height // 2)))


def without_text(generator: str) -> bytes:
    """The pictures of seeds 0 to 31."""
    return png_bytes(montage([tg.sample(generator, seed=seed).image for seed in range(32)], columns=8))


def guided() -> bytes:
    """Two pictures of one text on their way to a class of ImageNet, every eighth of 40 steps."""
    dogs = [tg.generate(GUIDED, seed=seed) for seed in GUIDED_SEEDS]
    ways = [tg.guide(dog, toward="golden retriever", steps=40, progress=False).frames[::8] for dog in dogs]
    return png_bytes(montage([frame.image for way in ways for frame in way], columns=len(ways[0])))


def sampled_classes() -> bytes:
    """What 50 steps of plug & play sampling from seed 0 come to, for every class that the README counts."""
    decoder, tiles = CodeDecoder.load("photos"), []
    for number, name in enumerate(CLASSES, 1):
        sampler = Sampler(decoder, image_class(name, objective="paper"), prior=decoder.prior("joint"), n_iters=50)
        tiles.append(Tile(sampler.run([0], progress=False).last().image, name, str(number)))
    return png_bytes(strip(tiles))


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


if __name__ == "__main__":
    main(sys.argv[1:])
