"""The routes that AttnGAN's own server had, `eval/` of its repository, for programs written for that one.

There the pictures are swapped: `medium`, `large`, `map1` and `map2` are the addresses of the first map, the second map,
the middle picture and the first map. Here each is what its name says. Pictures are kept by this server, not in a cloud.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastapi import APIRouter, Request
from PIL import Image

from telephonegan.attention_pictures import attention_picture
from telephonegan.errors import TelephoneganError
from telephonegan.files import png_bytes
from telephonegan.inference import derived_seed
from telephonegan.serving.answers import Bird, BirdAnswer, BirdPictures, Birds, BirdsAnswer
from telephonegan.serving.bodies import Bodies
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.service import Service
from telephonegan.serving.work import PaintStages, Stages

VERSION = "Version 1"
_SIX = 6


def routes(service: Service, bodies: Bodies) -> APIRouter:
    """`/api/v1.0/bird` and `/api/v1.0/birds`."""
    found = APIRouter(tags=["as AttnGAN's server"])
    documentation = bodies.documentation(bodies.bird, {"caption": "a small red bird with a white belly"})

    async def painted(request: Request, caption: str, seeds: Sequence[int]) -> tuple[list[str], list[Stages]]:
        generator = service.models.generators[service.models.bird]
        try:
            encoded = await service.aside(generator.encode, caption)
        except TelephoneganError as error:
            raise Refusal(400, "text", str(error)) from None
        work = service.compute(PaintStages(service.models.bird), [(encoded, seed) for seed in seeds])
        return encoded.words, await service.answer(request, work)

    async def kept(request: Request, images: Sequence[Image.Image]) -> list[str]:
        """The addresses of pictures, from now on for a day."""
        base = service.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        names = [await service.aside(lambda image=image: service.pictures.add(png_bytes(image))) for image in images]
        return [f"{base}/pictures/{name}" for name in names]

    async def asked(request: Request) -> tuple[str, int]:
        """The caption and the seed. All that is wrong with a body was a 400 in the original."""
        try:
            body, _ = await bodies.read(request, bodies.bird)
        except Refusal as refusal:
            if refusal.status in (415, 422):
                refusal.status = 400
            raise
        return body.caption, body.seed

    @found.post("/api/v1.0/bird", status_code=201, openapi_extra=documentation)
    async def bird(request: Request) -> BirdAnswer:
        """Paint a caption: three sizes and two attention pictures."""
        began = time.perf_counter()
        caption, seed = await asked(request)
        words, [(images, attention)] = await painted(request, caption, [seed])
        maps = [
            await service.aside(attention_picture, images[min(k + 1, len(images) - 1)], attention[k], words)
            for k in _first_and_last(len(attention))
        ]
        small, medium, large, map1, map2 = await kept(request, [*_three(images), *(maps or [images[-1]] * 2)])
        elapsed = time.perf_counter() - began
        told = {"small": small, "medium": medium, "large": large, "map1": map1, "map2": map2}
        return BirdAnswer(bird=Bird(**told, caption=caption, elapsed=elapsed))

    @found.post("/api/v1.0/birds", status_code=201, openapi_extra=documentation)
    async def birds(request: Request) -> BirdsAnswer:
        """Paint a caption six times, each in three sizes."""
        began = time.perf_counter()
        caption, seed = await asked(request)
        _, stages = await painted(request, caption, [derived_seed(seed, number) for number in range(_SIX)])
        told = {}
        for number, (images, _) in enumerate(stages, 1):
            small, medium, large = await kept(request, _three(images))
            told[f"bird{number}"] = BirdPictures(small=small, medium=medium, large=large)
        return BirdsAnswer(bird=Birds(**told, caption=caption, elapsed=time.perf_counter() - began))

    return found


def _three(images: Sequence[Image.Image]) -> list[Image.Image]:
    """The smallest, the middle and the largest picture; a generator of fewer stages has some of them twice."""
    return [images[0], images[len(images) // 2], images[-1]]


def _first_and_last(count: int) -> list[int]:
    """The first and the last of so many maps; none where a generator has none."""
    return [0, count - 1] if count else []
