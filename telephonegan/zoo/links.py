"""Web addresses of the checkpoints that AttnGAN's and yunjey's projects published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """One published address. `pieces` maps roles in the import to files of the download."""

    url: str
    file: str
    pieces: Mapping[str, str]

    @property
    def is_archive(self) -> bool:
        return self.file.endswith(".zip")


@dataclass(frozen=True)
class PublishedModel:
    """A model on the web: the kinds it is registered as, the page of its project, and its files."""

    kinds: tuple[str, ...]
    page: str
    links: tuple[Link, ...]


def _drive(identity: str, file: str, **pieces: str) -> Link:
    # This form skips Google Drive's warning that it has not scanned a large file.
    return Link(f"https://drive.usercontent.google.com/download?id={identity}&export=download&confirm=t", file, pieces)


def _dropbox(place: str, **pieces: str) -> Link:
    return Link(f"https://www.dropbox.com/s/{place}?dl=1", place.rpartition("/")[2], pieces)


def _attngan(*links: Link) -> PublishedModel:
    return PublishedModel(("generator", "damsm"), "https://github.com/taoxugit/AttnGAN", links)


_BIRD_DAMSM = _drive(
    "1GNUKjVeyWYBJ8hEU-yrfYQpDOkxEyP3V",
    "bird.zip",
    text_encoder="text_encoder200.pth",
    image_encoder="image_encoder200.pth",
)
_BIRD_WORDS = _drive("1O_LtUP9sch09QH3s_EBAgLEctBQ5JBSJ", "birds.zip", dictionary="captions.pickle")

PUBLISHED: dict[str, PublishedModel] = {
    "attngan-bird": _attngan(
        _drive("1lqNG75suOuR_8gjoEPYNp8VyT_ufPPig", "bird_AttnGAN2.pth", generator="bird_AttnGAN2.pth"),
        _BIRD_DAMSM,
        _BIRD_WORDS,
    ),
    "attngan-coco": _attngan(
        _drive("1i9Xkg9nU74RAvkcqKE-rJYhjvzKAMnCi", "coco_AttnGAN2.pth", generator="coco_AttnGAN2.pth"),
        _drive(
            "1zIrXCE9F6yfbEJIbNP5-YrEe2pZcPSGJ",
            "coco.zip",
            text_encoder="text_encoder100.pth",
            image_encoder="image_encoder100.pth",
        ),
        _drive("1rSnbIGNDGZeHlsUlLdahj0RJ9oo6lgH9", "coco.zip", dictionary="captions.pickle"),
    ),
    "attndcgan-bird": _attngan(
        _drive("19TG0JUoXurxsmZLaJ82Yo6O0UJ6aDBpg", "bird_AttnDCGAN2.pth", generator="bird_AttnDCGAN2.pth"),
        _BIRD_DAMSM,
        _BIRD_WORDS,
    ),
    "yunjey": PublishedModel(
        ("captioner",),
        "https://github.com/yunjey/pytorch-tutorial",
        (
            _dropbox(
                "ne0ixz5d58ccbbz/pretrained_model.zip", encoder="encoder-5-3000.pkl", decoder="decoder-5-3000.pkl"
            ),
            _dropbox("26adb7y9m98uisa/vocap.zip", vocabulary="vocab.pkl"),
        ),
    ),
}
