"""The tiny preset as a newcomer runs it: a drawn world, three networks, and pictures that obey words."""

import json
import time

import pytest

from telephonegan.captioning import Captioner
from telephonegan.cli.main import main
from telephonegan.data.shapes import attributes_of, draw, measure
from telephonegan.generation import Generator
from telephonegan.zoo import catalogue

SENTENCES = 120


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory, no_shipped_models):
    root = tmp_path_factory.mktemp("tiny") / "shapes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "SHIPPED", no_shipped_models)
        patch.setenv("TELEPHONEGAN_HOME", str(root.parent / "home"))
        started = time.monotonic()
        assert main(["train", "all", "--preset", "tiny", "--run", str(root), "--threads", "2"]) == 0
        print(f"the tiny preset trained for {time.monotonic() - started:.0f} s")
        for recipe in ("damsm", "attngan", "captioner"):
            assert main(["export", str(root / recipe), "--name", "shapes"]) == 0
        yield root


@pytest.fixture(scope="module")
def painted(tiny_world):
    texts = [drawing.captions[0] for drawing in draw(SENTENCES, 48, seed=7)]
    pictures = Generator.load("shapes", "cpu")(texts, seeds=list(range(SENTENCES)), truncation=0.5)
    return texts, [picture.image for picture in pictures]


def obeyed(what, painted, look):
    texts, images = painted
    return sum(look(image).get(what) == attributes_of(text)[what] for text, image in zip(texts, images, strict=True))


@pytest.mark.parametrize("what, chance", [("colour", 1 / 6), ("background", 1 / 3)])
def test_pictures_have_the_colours_that_the_words_say(what, chance, painted):
    assert obeyed(what, painted, measure) > 1.4 * chance * SENTENCES


def test_pictures_have_the_shapes_that_the_words_say(painted):
    """As the captioner, trained on drawings alone, reads them."""
    said = dict(zip(map(id, painted[1]), Captioner.load("shapes", "cpu")(painted[1]), strict=True))
    assert obeyed("shape", painted, lambda image: attributes_of(said[id(image)].text)) > 1.4 / 4 * SENTENCES


@pytest.mark.parametrize("what, share", [("shape", 0.8), ("colour", 0.5), ("background", 0.6)])
def test_the_captioner_reads_drawings(what, share, tiny_world):
    drawings = draw(60, 48, seed=8)
    said = Captioner.load("shapes", "cpu")([drawing.picture for drawing in drawings])
    right = sum(
        attributes_of(caption.text).get(what) == getattr(drawing.scene, what)
        for caption, drawing in zip(said, drawings, strict=True)
    )
    assert right > share * 60


def test_the_world_is_drawn_once_and_a_finished_run_is_left_alone(tiny_world):
    before = (tiny_world / "attngan" / "checkpoint.pt").read_bytes()
    assert main(["train", "all", "--preset", "tiny", "--run", str(tiny_world)]) == 0
    records = [json.loads(line) for line in (tiny_world / "attngan" / "log.jsonl").read_text().splitlines()]
    assert max(record["step"] for record in records) == 400
    assert (tiny_world / "attngan" / "checkpoint.pt").read_bytes() == before
