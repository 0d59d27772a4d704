"""Routes over vectors: sentences as embeddings, and pictures moved along the axes of a generator's latent space."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from telephonegan.latent import Walk
from telephonegan.serving import png
from telephonegan.serving.answers import AxesAnswer, EmbedAnswer, PictureAnswer, VectorAnswer
from telephonegan.serving.bodies import Bodies
from telephonegan.serving.service import Service
from telephonegan.serving.work import Embed, PaintMoved


def routes(service: Service, bodies: Bodies) -> APIRouter:
    """`/v1/embed` and `/v1/axes`, as far as there are embeddings and axes to serve."""
    found = APIRouter(tags=["vectors"])
    if service.models.embedding_names:
        _add_embed(found, service, bodies)
    if service.models.axis_names:
        _add_axes(found, service, bodies)
    return found


def _add_embed(routes: APIRouter, service: Service, bodies: Bodies) -> None:
    @routes.post(
        "/v1/embed", openapi_extra=bodies.documentation(bodies.embed, {"text": ["a red dog runs", "two people"]})
    )
    async def embed(request: Request) -> EmbedAnswer:
        """Encode a sentence, or several, as the vector that a generator or a judge reads."""
        asked, _ = await bodies.read(request, bodies.embed)
        texts = [asked.text] if isinstance(asked.text, str) else asked.text
        matcher = service.models.embeddings[asked.embedding]

        async def encoded() -> EmbedAnswer:
            for text in texts:
                await service.aside(matcher.encode, text)  # says now what is wrong with it
            found = await service.compute(Embed(asked.embedding), texts)
            return EmbedAnswer(embeddings=[VectorAnswer.of(each) for each in found])

        return await service.answer(request, encoded())


def _add_axes(routes: APIRouter, service: Service, bodies: Bodies) -> None:
    models = service.models
    first = models.axes[models.axis_names[0]]
    step, *others = first.names
    example: dict[str, Any] = {"seed": 3, "steps": {step: 1.5}, "locked": others[:1]}
    if models.generators[first.generator].takes_text:
        example["text"] = "a red dog runs in the grass"

    @routes.post(
        "/v1/axes",
        openapi_extra=bodies.documentation(bodies.axes, example),
        response_model=AxesAnswer,
        responses=png.documentation(AxesAnswer),
    )
    async def axes(request: Request) -> Any:
        """Paint what a seed draws, moved along named axes. With `Accept: image/png` the answer is the picture itself.

        `/v1/models` lists the axes and their features.
        """
        asked, _ = await bodies.read(request, bodies.axes)

        async def painted() -> tuple[Any, Walk]:
            walk = await service.aside(_walked, service, asked)
            item = (walk.state.text, walk.state.seed, walk.latents())
            (picture,) = await service.compute(PaintMoved(walk.generator.name), [item])
            return picture, walk

        picture, walk = await service.answer(request, painted())
        if png.is_preferred(request.headers.get("accept", "")):
            return await png.answer(service, picture, asked.size)
        told = await service.aside(PictureAnswer.of, picture, asked.size, attention=False)
        return AxesAnswer(picture=told, at=walk.axes.coordinates(picture.latents), walk=walk.share())


def _walked(service: Service, asked: Any) -> Walk:
    """The walk that was asked for. Raises SettingsError or TextError."""
    axes = service.models.axes[asked.axes]
    walk = Walk(service.models.generators[axes.generator], axes, seed=asked.seed, text=asked.text)
    for name in asked.locked:
        walk.lock(name)
    for name, sigmas in asked.steps.items():
        walk.set(name, sigmas)
    return walk
