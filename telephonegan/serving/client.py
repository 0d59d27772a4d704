"""A client for a server of telephonegan, with nothing but Python's own library."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from telephonegan.errors import TelephoneganError


class Client:
    """Calls a server at `url`; `token` is the one that it wants, if any. Errors are TelephoneganErrors.

    >>> client = Client("http://127.0.0.1:8000")  # doctest: +SKIP
    >>> client.caption("bear.jpg")["text"]  # doctest: +SKIP
    >>> client.generate("a dog runs in the grass", seed=3)[0].save("dog.png")  # doctest: +SKIP
    >>> for played in client.play(text="a dog runs in the grass", rounds=3):  # doctest: +SKIP
    ...     print(played["caption"])
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str = "", timeout_s: float = 120.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise TelephoneganError(f"{url!r:.80} is not the address of a server, such as http://127.0.0.1:8000.")
        self._url, self._timeout = url.rstrip("/"), timeout_s
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})

    def caption(self, image: str | os.PathLike[str] | bytes, **settings: Any) -> dict[str, Any]:
        """The caption of a picture file, given by path or bytes. `settings` are the fields of POST /v1/caption."""
        return json.load(self._open("/v1/caption", {"image": _base64(image), **settings}))

    def generate(self, text: str | list[str], **settings: Any) -> list[Image.Image]:
        """The pictures of a text or of texts. `settings` are the fields of POST /v1/generate."""
        pictures = json.load(self._open("/v1/generate", {"text": text, **settings}))["pictures"]
        return [_opened(base64.b64decode(each["png"])) for each in pictures]

    def embed(self, text: str | list[str], **settings: Any) -> list[list[float]]:
        """The vectors of a text or of texts. `settings` are the fields of POST /v1/embed."""
        found = json.load(self._open("/v1/embed", {"text": text, **settings}))["embeddings"]
        return [each["vector"] for each in found]

    def axes(self, **settings: Any) -> Image.Image:
        """The picture of a seed, moved along axes. `settings` are the fields of POST /v1/axes.

        >>> client.axes(axes="faces", seed=3, steps={"age": 2}, locked=["sex"])  # doctest: +SKIP
        """
        picture = json.load(self._open("/v1/axes", settings))["picture"]
        return _opened(base64.b64decode(picture["png"]))

    def guide(self, text: str, toward: str | int, **settings: Any) -> Image.Image:
        """The picture of a text, pushed towards a class of ImageNet. `settings` are the fields of POST /v1/guide.

        >>> client.guide("a dog runs in the grass", "golden retriever", seed=2, steps=40)  # doctest: +SKIP
        """
        picture = json.load(self._open("/v1/guide", {"text": text, "toward": toward, **settings}))["picture"]
        return _opened(base64.b64decode(picture["png"]))

    def play(self, *, image: Any = None, text: str | None = None, **settings: Any) -> Iterator[dict[str, Any]]:
        """The rounds of a game, each as soon as it is played. `settings` are the fields of POST /v1/telephone.

        Where a round has a picture, `picture` is it, as a PIL image. Raises TelephoneganError if the game fails.
        """
        source = {"text": text} if image is None else {"image": _base64(image)}
        game = json.load(self._open("/v1/telephone", {**source, **settings}))
        for line in self._open(game["events"]):
            if not line.startswith(b"data: "):
                continue
            told = json.loads(line[6:])
            if "index" in told:
                if told["picture"]:
                    told["picture"] = _opened(self._open(told["picture"]).read())
                yield told
            elif told["status"] == "failed":
                raise TelephoneganError(told["reason"])

    def _open(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers)
        try:
            return urllib.request.urlopen(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            raise TelephoneganError(_message(error)) from error
        except OSError as error:
            raise TelephoneganError(f"{self._url} does not answer: {getattr(error, 'reason', error)}.") from error


def _opened(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png))


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return json.load(error)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return f"The server answered {error.code} {error.reason}."


def _base64(image: str | os.PathLike[str] | bytes) -> str:
    try:
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
    except OSError as error:
        raise TelephoneganError(f"The picture {image} cannot be read: {error.strerror or error}.") from error
    return base64.b64encode(content).decode("ascii")
