"""Making data folders from others: joining them, captioning photographs by what they show, sentences on products.

The result is a plain data folder (images/, captions.txt, train.txt, dev.txt, test.txt). Photographs are linked rather
than copied if the disk allows it.
"""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm.auto import tqdm

from telephonegan.data.caption_files import SPLITS
from telephonegan.data.folder import BY_MODEL, DataFolder, split_by_name
from telephonegan.data.layouts import open_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.data.tables import read_table
from telephonegan.errors import DataError, SettingsError
from telephonegan.files import expanded, new_folder, replace, writing
from telephonegan.images import as_image, to_tensor
from telephonegan.networks.imagenet import class_names
from telephonegan.text import read_lines, tokenise

# Called like `telephonegan.captioning.Captioner`: pictures in, results with `text` and `alternatives` out.
Describer = Callable[[list[Image.Image]], Sequence[Any]]

SENTENCES_EACH = 5
_AT_ONCE = 128  # photographs


@dataclass(frozen=True)
class Captioned:
    """A photograph with sentences and its split; `name` is its name in the new folder.

    `content` holds its bytes if it is not a file but part of a pack at `path`.
    """

    path: Path
    name: str
    sentences: Sequence[str]
    split: str
    content: Callable[[], bytes] | None = None


def write_folder(folder: str | Path, photographs: Iterable[Captioned]) -> Path:
    """Write a plain data folder that must not exist yet; if writing fails, nothing is left behind.

    Raises OutputError, or DataError if two photographs have the same name or there are none.
    """
    photographs = list(photographs)
    names = [each.name for each in photographs]
    if not names:
        raise DataError("There is no photograph to write: a data folder needs at least one.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Two photographs are called {twice}. Rename one of them.")
    folder = new_folder(expanded(folder))
    try:
        _fill(folder, photographs)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def join(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Join data folders: the training splits of all, but the development and test splits of the first only.

    Photographs of the others keep their folder's name as a prefix. Raises DataError or OutputError.

    >>> join(["flickr8k", "coco"], "both")  # doctest: +SKIP
    """
    if len(folders) < 2:
        raise DataError("Joining takes at least two data folders.")
    found = [open_data(folder) for folder in folders]
    photographs = []
    for place, data in enumerate(found):
        prefix = "" if place == 0 else f"{place}-{data.folder.resolve().name}-"
        for split in SPLITS if place == 0 else ("train",):
            part = data.split(split)
            photographs += _captioned(part, split, prefix)
    return write_folder(out, photographs)


def _captioned(part: CaptionedPhotos, split: str, prefix: str = "") -> list[Captioned]:
    return [
        Captioned(
            part.folder / name,
            prefix + name.replace("/", "-"),
            [" ".join(words) for words in part.captions[row]],
            split,
            None if part.pack is None else partial(part.content, row),
        )
        for row, name in enumerate(part.names)
    ]


def caption_photographs(data: DataFolder, captioner: Describer, out: str | Path, *, progress: bool = False) -> Path:
    """Copy a data folder or pack; photographs without captions are captioned and join the training split.

    Each gets all sentences of the captioner's beam. captions_by_model.txt lists these photographs; development and test
    splits keep human captions only. Raises DataError or OutputError.

    >>> caption_photographs(open_data("birds"), Captioner.load("birds"), "birds-told")  # doctest: +SKIP
    """
    photos = data.rows(data.uncaptioned())
    if not len(photos):
        raise DataError(f"Every photograph of {data.folder} already has a caption.")
    said = _said(photos, captioner, progress)
    if data.pack is not None:
        from telephonegan.data.packs import with_captions

        return with_captions(data, out, said)
    told = photos.take([row for row, name in enumerate(photos.names) if name in said])
    told = dataclasses.replace(told, captions=[said[name] for name in told.names])
    splits = [each for split in SPLITS if split not in data.absent for each in _captioned(data.split(split), split)]
    folder = write_folder(out, [*splits, *_captioned(told, "train")])
    with writing(folder):
        (folder / BY_MODEL).write_text("".join(f"{name.replace('/', '-')}\n" for name in told.names), encoding="utf-8")
    return folder


def _said(photos: CaptionedPhotos, captioner: Describer, progress: bool) -> dict[str, list[list[str]]]:
    said = {}
    starts = range(0, len(photos), _AT_ONCE)
    for start in tqdm(starts, desc="captioning", disable=not progress, mininterval=2):
        part = photos[start : start + _AT_ONCE]
        captions = captioner([part.image(row) for row in range(len(part))])
        for name, caption in zip(part.names, captions, strict=True):
            sentences = [tokenise(text) for text in (caption.text, *(text for text, _ in caption.alternatives))]
            if any(sentences):
                said[name] = [words for words in sentences if words]
    return said


def write_captions(folder: Path, sentences: Mapping[str, Sequence[str]], splits: Mapping[str, Sequence[str]]) -> None:
    """Write captions.txt and a list of names for each split, which make a plain data folder together with images/."""
    for split, names in splits.items():
        replace(folder / f"{split}.txt", "".join(f"{name}\n" for name in names).encode())
    lines = [
        f"{name}#{number}\t{' '.join(sentence.split())}\n"
        for name, told in sentences.items()
        for number, sentence in enumerate(told)
    ]
    replace(folder / "captions.txt", "".join(lines).encode())  # last: without it the folder is not recognised as data


def _fill(folder: Path, photographs: list[Captioned]) -> None:
    images = new_folder(folder / "images")
    with writing(folder):
        for each in photographs:
            if each.content is not None:
                (images / each.name).write_bytes(each.content())
            else:
                _link(each.path.resolve(), images / each.name)
    splits = {split: [each.name for each in photographs if each.split == split] for split in SPLITS}
    write_captions(folder, {each.name: each.sentences for each in photographs}, splits)


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # linking may need a privilege on Windows
        shutil.copyfile(source, target)


# ------------------------------------------------------------------------------------------ naming what is shown

# Everyday words, and the ImageNet classes (torchvision's names) they cover.
_THINGS: dict[str, tuple[str, ...]] = {
    "cat": ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"),
    "bear": ("brown bear", "American black bear", "sloth bear"),
    "polar bear": ("ice bear",),
    "elephant": ("Indian elephant", "African elephant", "tusker"),
    "zebra": ("zebra",),
    "horse": ("sorrel", "horse cart"),
    "sheep": ("ram", "bighorn"),
    "cow": ("ox",),
    "pizza": ("pizza",),
    "hot dog": ("hotdog",),
    "sandwich": ("cheeseburger",),
    "banana": ("banana",),
    "oranges": ("orange",),
    "broccoli": ("broccoli",),
    "bus": ("school bus", "minibus", "trolleybus"),
    "train": (
        *("bullet train", "electric locomotive", "passenger car", "steam locomotive", "freight car"),
        *("streetcar",),
    ),
    "airplane": ("airliner", "warplane", "wing"),
    "motorcycle": ("moped", "motor scooter"),
    "bike": ("mountain bike", "bicycle-built-for-two"),
    "boat": ("speedboat", "catamaran", "trimaran", "gondola", "canoe", "lifeboat", "fireboat", "dock"),
    "truck": ("garbage truck", "fire engine", "tow truck", "trailer truck", "pickup", "moving van"),
    "car": ("sports car", "convertible", "cab", "limousine", "minivan", "beach wagon"),
    "laptop": ("laptop", "notebook"),
    "computer": ("desktop computer", "monitor", "screen", "computer keyboard", "mouse", "desk"),
    "toilet": ("toilet seat",),
    "sink": ("washbasin",),
    "refrigerator": ("refrigerator",),
    "microwave": ("microwave",),
    "oven": ("stove",),
    "couch": ("studio couch",),
    "bed": ("four-poster", "quilt"),
    "table": ("dining table",),
    "clock": ("wall clock", "analog clock", "digital clock", "bell cote"),
    "bench": ("park bench",),
    "traffic light": ("traffic light",),
    "street sign": ("street sign",),
    "parking meter": ("parking meter",),
    "umbrella": ("umbrella",),
    "vase": ("vase",),
    "teddy bear": ("teddy",),
    "skis": ("ski", "alp"),
    "baseball": ("ballplayer", "baseball"),
    "tennis": ("tennis ball", "racket"),
    "tie": ("Windsor tie", "suit"),
    "phone": ("cellular telephone",),
}
_DOGS, _BIRDS = range(151, 269), (*range(7, 25), *range(80, 101), *range(127, 147))


def things_by_class() -> dict[int, str]:
    """ImageNet class number (0–999) → its everyday word, if it has one."""
    names = class_names()
    things = {names.index(name): thing for thing, classes in _THINGS.items() for name in classes if name in names}
    return {**dict.fromkeys(_DOGS, "dog"), **dict.fromkeys(_BIRDS, "bird"), **things}


def name_photographs(
    photos: str | Path,
    sentences: str | Path,
    out: str | Path,
    *,
    without: Iterable[str] = (),
    confidence: float = 0.5,
    seed: int = 0,
) -> Path:
    """Caption photographs with sentences that name the thing they show.

    A photograph is kept if EfficientNet-Lite0 recognises one of `things_by_class` with at least `confidence` (0–1); its
    sentences are sampled from those in `sentences` (a table id<TAB>sentence, about other pictures) that name the thing.
    Only that word is known to be true, so use them to widen a captioner's vocabulary and never to measure it.
    Raises DataError or OutputError.

    >>> name_photographs("coco2014/images", "coco2014/text_only_captions.tsv", "named")  # doctest: +SKIP
    """
    if not 0 <= confidence <= 1:
        raise SettingsError(f"confidence must be from 0 to 1; {confidence!r} was given.")
    if not Path(photos).is_dir():
        raise DataError(f"There is no folder {photos}. Give a folder of photographs.")
    known = set(without)
    paths = [path for path in sorted(Path(photos).iterdir()) if path.is_file() and path.name not in known]
    seen = _confident_things(paths, confidence)
    told = _sentences_naming(Path(sentences), set(seen.values()))
    chance = random.Random(seed)
    return write_folder(
        out,
        [
            Captioned(path, path.name, chance.sample(told[thing], SENTENCES_EACH), "train")
            for path, thing in seen.items()
            if len(told[thing]) >= SENTENCES_EACH
        ],
    )


@torch.inference_mode()
def _confident_things(paths: list[Path], confidence: float) -> dict[Path, str]:
    from telephonegan.inference import shared_backbone

    backbone, things = shared_backbone("lite0", torch.device("cpu")), things_by_class()
    found = {}
    for start in tqdm(range(0, len(paths), 32), desc="looking at photographs", mininterval=2):
        part = paths[start : start + 32]
        cells = backbone.grid(to_tensor([as_image(path) for path in part], 224))
        odds = backbone.classifier(cells.mean((2, 3))).softmax(1)
        for path, row in zip(part, odds, strict=True):
            by_thing: dict[str, float] = defaultdict(float)
            for number, thing in things.items():
                by_thing[thing] += float(row[number])
            thing = max(by_thing, key=by_thing.__getitem__)
            if by_thing[thing] >= confidence:
                found[path] = thing
    return found


def _sentences_naming(path: Path, things: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in read_lines(path):
        words = " ".join(tokenise(line.split("\t", 1)[-1]))
        if words.count(" ") < 16:
            for thing in things:
                if re.search(rf"\b{thing}\b", words):
                    found[thing].append(words)
    return found


# ---------------------------------------------------------------------------------------------- products on white

_PRODUCTS = {  # article type → the words for it
    **{"Tshirts": "a tshirt", "Shirts": "a shirt", "Casual Shoes": "a pair of casual shoes", "Tops": "a top"},
    **{"Kurtas": "a kurta", "Sports Shoes": "a pair of sports shoes", "Watches": "a watch", "Handbags": "a handbag"},
    **{"Heels": "a pair of heels", "Sunglasses": "a pair of sunglasses", "Sweaters": "a sweater"},
    **{"Sandals": "a pair of sandals", "Wallets": "a wallet", "Flip Flops": "a pair of flip flops", "Belts": "a belt"},
    **{"Sweatshirts": "a sweatshirt", "Trousers": "a pair of trousers", "Formal Shoes": "a pair of formal shoes"},
    **{"Jeans": "a pair of jeans", "Socks": "a pair of socks", "Jackets": "a jacket", "Flats": "a pair of flat shoes"},
    **{"Backpacks": "a backpack", "Shorts": "a pair of shorts", "Caps": "a cap", "Ties": "a tie"},
    **{"Track Pants": "a pair of track pants", "Kurtis": "a kurti", "Dresses": "a dress", "Skirts": "a skirt"},
    **{"Clutches": "a clutch bag", "Laptop Bag": "a laptop bag", "Duffel Bag": "a duffel bag", "Tunics": "a tunic"},
}
_PRODUCT_COLUMNS = ("id", "title", "gender", "articleType", "baseColour", "season", "usage")
_PATTERNS = {
    **dict.fromkeys(("stripe", "stripes", "striped"), "striped"),
    **dict.fromkeys(("check", "checks", "checked", "checkered"), "checked"),
    **dict.fromkeys(("printed", "print"), "printed"),
    **{"polo": "polo", "floral": "floral", "denim": "denim", "leather": "leather", "hooded": "hooded"},
}


def write_products(source: str | Path, out: str | Path) -> Path:
    """Make a data folder from a table of products (products.csv beside images/), with sentences from their attributes.

    Every sentence gives kind and colour; some the pattern in the title, who it is for, or its season and use. A tenth
    of the photographs, chosen by name, is the development split, another tenth the test split.
    Raises DataError or OutputError.

    >>> write_products("fashion", "fashion-sentences")  # doctest: +SKIP
    """
    source = expanded(source)
    photographs = []
    for row in _rows(source / "products.csv"):
        path = source / "images" / f"{row['id']}.jpg"
        if row["articleType"] in _PRODUCTS and row["baseColour"] not in ("NA", "Multi") and path.is_file():
            photographs.append(Captioned(path, path.name, product_sentences(row), split_by_name(path.name)))
    return write_folder(out, photographs)


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table of products, by title."""
    table = read_table(path)
    lost = [title for title in _PRODUCT_COLUMNS if title not in (table.titles or ())]
    if lost:
        raise DataError(f"{path} lacks {', '.join(lost)}. Its first line must name: {', '.join(_PRODUCT_COLUMNS)}.")
    return [dict(zip(table.titles, row.cells, strict=False)) for row in table.rows]


def product_sentences(row: dict[str, str]) -> list[str]:
    """Five sentences on a product of `articleType`, `baseColour`, `title`, `gender`, `season` and `usage`.

    >>> row = {"articleType": "Shirts", "baseColour": "Navy Blue", "title": "Turtle Check Men Navy Blue Shirt"}
    >>> product_sentences(row | {"gender": "Men", "season": "Fall", "usage": "Casual"})[0]
    'a navy blue checked shirt'
    """
    pair, noun = re.match(r"a (pair of )?(.*)", _PRODUCTS[row["articleType"]]).groups(default="")
    pattern = next((_PATTERNS[word] for word in tokenise(row["title"]) if word in _PATTERNS), "")
    colour = row["baseColour"].lower()
    people = {"Men": "men", "Women": "women", "Unisex": "everyone", "Girls": "girls", "Boys": "boys"}[row["gender"]]
    use = "" if row["usage"] in ("NA", "") or row["usage"].lower() in noun else row["usage"].lower()
    thing = " ".join(f"{colour} {pattern} {noun}".split())

    def start(words: str) -> str:
        if pair:
            return f"a pair of {words}"
        return f"{'an' if words[0] in 'aeio' else 'a'} {words}"

    plain, simple = start(thing), start(f"{colour} {noun}")
    return [
        plain,
        f"{plain} for {people}",
        f"{plain} on a white background",
        start(" ".join(f"{use} {thing}".split())),
        f"{simple} for {people}" if pattern else f"the {noun} {'are' if pair else 'is'} {colour}",
    ]
