"""Answers that are the picture itself, for clients that accept `image/png` and not JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from telephonegan.files import png_bytes
from telephonegan.results import Picture
from telephonegan.serving.answers import sized
from telephonegan.serving.service import Service

PNG = "image/png"


def is_preferred(accept: str) -> bool:
    """Whether a header Accept takes a picture and no JSON.

    >>> is_preferred("image/png"), is_preferred("image/png, application/json"), is_preferred("*/*")
    (True, False, False)
    """
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return bool(kinds & {PNG, "image/*"}) and not kinds & {"application/json", "application/*"}


async def answer(service: Service, picture: Picture, size: int | None) -> Response:
    """The picture as a file, in that size; its seed is in a header."""
    content = await service.aside(png_bytes, sized(picture, size))
    return Response(content, media_type=PNG, headers={"x-seed": str(picture.seed), "vary": "accept"})


def documentation(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI response of a route that answers with that model or with a picture."""
    return {200: {"model": model, "content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}}
