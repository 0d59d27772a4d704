"""Routes over vectors: sentences as embeddings, and pictures moved in the latent space of their generator."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from telephonegan.errors import WeightsError
from telephonegan.latent import Guided, Walk
from telephonegan.networks.backbone import backbone_file
from telephonegan.networks.imagenet import class_number
from telephonegan.serving import png
from telephonegan.serving.answers import AxesAnswer, EmbedAnswer, GuideAnswer, PictureAnswer, VectorAnswer
from telephonegan.serving.bodies import Bodies
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.service import Service
from telephonegan.serving.work import BeginGuide, Embed, PaintMoved


def routes(service: Service, bodies: Bodies) -> APIRouter:
    """`/v1/guide`, and `/v1/embed` and `/v1/axes` as far as there are embeddings and axes to serve."""
    found = APIRouter(tags=["vectors"])
    if service.models.embedding_names:
        _add_embed(found, service, bodies)
    if service.models.axis_names:
        _add_axes(found, service, bodies)
    _add_guide(found, service, bodies)
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


def _add_guide(routes: APIRouter, service: Service, bodies: Bodies) -> None:
    example: dict[str, Any] = {"toward": "golden retriever", "seed": 2, "steps": min(5, service.settings.max_steps)}
    if next(iter(service.models.generators.values())).takes_text:
        example["text"] = "a red dog runs in the grass"

    @routes.post(
        "/v1/guide",
        openapi_extra=bodies.documentation(bodies.guide, example),
        response_model=GuideAnswer,
        responses=png.documentation(GuideAnswer),
    )
    async def guide(request: Request) -> Any:
        """Paint what a seed draws, and push it towards a class of ImageNet, while its text stays the same.

        With `Accept: image/png` the answer is the picture itself. The network that judges is deceived sooner than
        people are. Guides take seconds; those that run take turns.
        """
        asked, _ = await bodies.read(request, bodies.guide)

        async def found() -> Guided:
            await service.aside(_check_guide, service, asked)
            work = BeginGuide(asked.generator, asked.toward, asked.steps, asked.network)
            return await service.guides.guided(work, asked.text, asked.seed)

        guided = await service.answer(request, found())
        if png.is_preferred(request.headers.get("accept", "")):
            return await png.answer(service, guided.picture, asked.size)
        return await service.aside(GuideAnswer.of, guided, asked.network, asked.size)


def _check_guide(service: Service, asked: Any) -> None:
    """Raise what is wrong with a guide before the models hear of it: SettingsError, TextError or Refusal."""
    class_number(asked.toward)
    service.models.generators[asked.generator].encode(asked.text)
    try:
        backbone_file(asked.network)
    except WeightsError as error:
        raise Refusal(422, "network", str(error)) from None


def _walked(service: Service, asked: Any) -> Walk:
    """The walk that was asked for. Raises SettingsError or TextError."""
    axes = service.models.axes[asked.axes]
    walk = Walk(service.models.generators[axes.generator], axes, seed=asked.seed, text=asked.text)
    for name in asked.locked:
        walk.lock(name)
    for name, sigmas in asked.steps.items():
        walk.set(name, sigmas)
    return walk
