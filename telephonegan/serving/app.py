"""The routes, as a FastAPI application."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp

from telephonegan.captioning import Decoding
from telephonegan.chains import PlaySettings
from telephonegan.errors import TelephoneganError
from telephonegan.files import png_bytes
from telephonegan.images import LARGEST_SIDE, as_image
from telephonegan.inference import SEEDS
from telephonegan.results import Picture
from telephonegan.serving import answers, original, png, refusals, vectors
from telephonegan.serving.answers import CaptionAnswer, GameAnswer, GenerateAnswer, ModelsAnswer, PictureAnswer
from telephonegan.serving.bodies import Bodies
from telephonegan.serving.games import Game
from telephonegan.serving.guard import Guard
from telephonegan.serving.model_thread import BusyError
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.service import Service
from telephonegan.serving.wording import explained
from telephonegan.serving.work import Describe, Paint
from telephonegan.version import __version__

EVENTS = "text/event-stream"
_PAGE = Path(__file__).with_name("page")
_HEARTBEAT_S = 15.0
_DAY_S = 24 * 3600
_GONE = 499  # in the log: the client went before the answer
_DESCRIPTION = """Captions of pictures, pictures of captions, and the broken telephone between the two.

Every error has the form `{"error": {"code", "message", "request_id"}}`. The same seed gives the same answer, whoever
else is served at that moment, up to the rounding of sums: at most one grey level in a few pixels.
"""
_EXAMPLE = base64.b64encode(png_bytes(Image.new("RGB", (8, 8), "firebrick"))).decode("ascii")


def create_app(service: Service) -> ASGIApp:
    """The application of a service that has been started.

    >>> create_app(service)  # doctest: +SKIP
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.stop()

    secured = [Depends(HTTPBearer(auto_error=False))] if service.settings.token else []
    app = FastAPIOffline(
        title="telephonegan",
        version=__version__,
        description=_DESCRIPTION,
        redoc_url=None,
        lifespan=lifespan,
        responses=refusals.documentation(404, 406),
    )
    app.include_router(_pages(service))
    app.include_router(_health(service))
    bodies = Bodies(service.settings, service.models)
    app.include_router(_calls(service, bodies), dependencies=secured)
    app.include_router(vectors.routes(service, bodies), dependencies=secured)
    app.include_router(_telephone(service, bodies), dependencies=secured)
    app.include_router(original.routes(service, bodies), dependencies=secured)
    _handle_errors(app)
    return Guard(app, service)


# ---------------------------------------------------------------------------------------------------- errors


def _handle_errors(app: FastAPI) -> None:
    """Every error in one form."""

    def answered(request: Request, refusal: Refusal) -> JSONResponse:
        return refusal.response(request.state.request_id)

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return answered(request, refusal)

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> JSONResponse:
        return answered(request, Refusal(503, "busy", str(error), retry_after=error.retry_after))

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{**each, "loc": each["loc"][1:]} for each in error.errors()]  # without the word path or header
        operation = app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
        properties = {each["name"]: each["schema"] for each in operation["parameters"]}
        return answered(request, Refusal(422, "request", explained(errors, properties)))

    @app.exception_handler(HTTPException)
    async def unmatched(request: Request, error: HTTPException) -> JSONResponse:
        reason = HTTPStatus(error.status_code).phrase
        told = {
            404: "There is no such route. All are listed at /docs.",
            405: f"This route does not take {request.method[:20]!r}. The header Allow lists what it takes.",
        }
        refusal = Refusal(
            error.status_code, reason.lower().replace(" ", "-"), told.get(error.status_code, f"{reason}.")
        )
        if error.status_code == 405:
            known = {
                *_allowed(app, request.url.path),
                *filter(None, (error.headers or {}).get("Allow", "").split(", ")),
            }
            refusal.headers["allow"] = ", ".join(sorted(known))
        return answered(request, refusal)

    @app.exception_handler(TelephoneganError)
    async def unusable(request: Request, error: TelephoneganError) -> JSONResponse:
        refusal = Refusal.of(error)
        if refusal.status >= 500:
            raise error
        return answered(request, refusal)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: ClientDisconnect) -> Response:
        return Response(status_code=_GONE)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> JSONResponse:
        return answered(request, Refusal.unexpected())


def _allowed(app: FastAPI, path: str) -> set[str]:
    """The methods that a documented path takes; Starlette tells those of its first route only."""
    for template, methods in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            return {method.upper() for method in methods}
    return set()


# ---------------------------------------------------------------------------------------------------- for people


def _pages(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get(
        "/",
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {"example": original.VERSION}, "text/html": {}}}},
        tags=["pages"],
    )
    async def home(request: Request) -> Response:
        """The version of the API or, for browsers, a page to play on."""
        if "text/html" in request.headers.get("accept", ""):
            return FileResponse(_PAGE / "page.html", media_type="text/html", headers={"vary": "accept"})
        return PlainTextResponse(original.VERSION, headers={"vary": "accept"})

    @routes.get("/page.css", include_in_schema=False)
    async def style() -> Response:
        return FileResponse(_PAGE / "page.css", media_type="text/css")

    @routes.get("/page.js", include_in_schema=False)
    async def script() -> Response:
        return FileResponse(_PAGE / "page.js", media_type="text/javascript")

    @routes.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)

    @routes.get(
        "/pictures/{name}",
        response_class=Response,
        responses={200: {"content": {png.PNG: {}}}, **refusals.documentation(*_ALL_BUT_404)},
        tags=["pictures"],
    )
    async def picture(name: Annotated[str, InPath(max_length=100)]) -> Response:
        """A picture that was painted within the last day. Its name is its only protection, and cannot be guessed."""
        content = await service.aside(service.pictures.read, name)
        if content is None:
            raise Refusal(404, "picture", "There is no such picture. Pictures are kept for a day at most.")
        return Response(content, media_type=png.PNG, headers={"cache-control": f"private, max-age={_DAY_S}, immutable"})

    return routes


_ALL_BUT_404 = (400, 401, 403, 405, 406, 408, 413, 415, 421, 422, 503)
_ALL_BUT_406 = (400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 503)


def _health(service: Service) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/livez", response_class=PlainTextResponse)
    async def alive() -> str:
        """Whether the process answers at all."""
        return "alive"

    @routes.get("/readyz", response_class=PlainTextResponse)
    async def ready() -> str:
        """Whether the models are loaded and requests are taken."""
        if not service.is_ready:
            raise Refusal(503, "stopping", "The server is stopping.", retry_after=10)
        return "ready"

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def numbers() -> str:
        """Numbers in the text format of Prometheus."""
        return service.metrics.text().decode()

    return routes


# ---------------------------------------------------------------------------------------------------- calls


def _calls(service: Service, bodies: Bodies) -> APIRouter:
    routes = APIRouter(tags=["calls"])

    @routes.get("/v1/models")
    async def models() -> ModelsAnswer:
        """The worlds and models that are served, and the limits of requests."""
        limits = ("max_body", "max_pixels", "max_text", "max_pictures", "max_candidates", "max_rounds", "max_steps")
        return ModelsAnswer(
            version=__version__,
            worlds=[answers.WorldAnswer(**vars(world)) for world in service.models.worlds],
            models=[
                answers.ModelAnswer(**{name: getattr(entry, name) for name in answers.ModelAnswer.model_fields})
                for entry in service.models.entries
            ],
            axes=[
                answers.AxesOfModel.of(name, axes, takes_text=service.models.generators[axes.generator].takes_text)
                for name, axes in service.models.axes.items()
            ],
            networks=service.models.networks,
            limits={name: getattr(service.settings, name) for name in limits},
        )

    @routes.post("/v1/caption", openapi_extra=bodies.documentation(bodies.caption, {"image": _EXAMPLE}))
    async def caption(request: Request) -> CaptionAnswer:
        """Describe a picture in words. `curl -F image=@photo.jpg` sends one; JSON holds it in base64."""
        asked, content = await bodies.read(request, bodies.caption)
        how = Decoding(asked.method, asked.beam_width, asked.temperature, asked.top_p)

        async def described() -> CaptionAnswer:
            image = await service.aside(opened, content, service.settings.max_pixels)
            (said,) = await service.compute(Describe(asked.captioner, how), [(image, asked.seed)])
            return await service.aside(CaptionAnswer.of, said, attention=asked.attention)

        return await service.answer(request, described())

    example = {"text": "a dog runs in the grass", "seed": 3}

    @routes.post(
        "/v1/generate",
        openapi_extra=bodies.documentation(bodies.generate, example),
        response_model=GenerateAnswer,
        responses=png.documentation(GenerateAnswer) | refusals.documentation(*_ALL_BUT_406),
    )
    async def generate(request: Request) -> Any:
        """Paint a text, or several. With `Accept: image/png` the answer is the picture itself, if it is one."""
        asked, _ = await bodies.read(request, bodies.generate)
        texts = [asked.text] if isinstance(asked.text, str) else asked.text
        wants_png = png.is_preferred(request.headers.get("accept", ""))
        _check_count(service, texts, asked.n, asked.candidates, wants_png)
        _check_seeds(asked.seed, asked.n)
        generator = service.models.generators[asked.generator]

        async def painted() -> list[Picture]:
            for text in texts:
                await service.aside(generator.encode, text)  # says now what is wrong with it
            items = [(text, asked.seed + k) for text in texts for k in range(asked.n)]
            work = Paint(asked.generator, asked.truncation, asked.candidates)
            return await service.compute(work, items, weight=asked.candidates)

        pictures = await service.answer(request, painted())
        if wants_png:
            return await png.answer(service, pictures[0], asked.size)
        told = [
            await service.aside(PictureAnswer.of, picture, asked.size, attention=asked.attention)
            for picture in pictures
        ]
        return GenerateAnswer(pictures=told)

    return routes


def opened(content: bytes, max_pixels: int) -> Image.Image:
    """An uploaded picture, at most as large as the library keeps it. Raises ImageError, before decoding if possible."""
    image = as_image(content, max_pixels=max_pixels, whole=True)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def _check_count(service: Service, texts: list[str], n: int, candidates: int, wants_png: bool) -> None:
    most, count = service.settings.max_pictures, len(texts) * n
    if count * candidates > most:
        told = f"{len(texts)} texts × n = {n} × candidates = {candidates} are {count * candidates} pictures to paint"
        raise Refusal(422, "body", f"{told}; {most} are allowed in one request.")
    if wants_png and count > 1:
        raise Refusal(406, "accept", f"A PNG holds one picture, not {count}. Accept application/json, or ask for one.")


def _check_seeds(seed: int, n: int) -> None:
    if seed + n > SEEDS:
        raise Refusal(422, "body", f"seed + n must be at most {SEEDS}, and is {seed + n}.")


# ---------------------------------------------------------------------------------------------------- games


def _telephone(service: Service, bodies: Bodies) -> APIRouter:
    routes = APIRouter(tags=["telephone"])
    missing = refusals.documentation(*_ALL_BUT_404)

    @routes.post(
        "/v1/telephone",
        status_code=202,
        openapi_extra=bodies.documentation(bodies.telephone, {"text": "a dog runs in the grass", "rounds": 3}),
    )
    async def begin(request: Request, response: Response) -> GameAnswer:
        """Begin a game from a picture or from a text. It is played in the background."""
        asked, content = await bodies.read(request, bodies.telephone)
        if (content is None) == (asked.text is None):
            raise Refusal(422, "body", "A game starts from one thing: give either image or text.")
        how = PlaySettings(
            asked.method, asked.beam_width, asked.temperature, asked.top_p, asked.truncation, asked.candidates
        )
        if content is None:
            source = asked.text
            await service.aside(service.models.generators[asked.generator].encode, source)
        else:
            source = await service.answer(request, service.aside(opened, content, service.settings.max_pixels))
        game = Game(asked.captioner, asked.generator, how, asked.rounds, asked.seed)
        service.games.begin(game, source)
        response.headers["location"] = f"/v1/telephone/{game.id}"
        return GameAnswer.of(game)

    @routes.get("/v1/telephone/{game}", responses=missing)
    async def state(game: Annotated[str, InPath(max_length=100)]) -> GameAnswer:
        """A game and the rounds so far."""
        return GameAnswer.of(service.games.find(game))

    @routes.delete("/v1/telephone/{game}", status_code=204, responses=missing)
    async def cancel(game: Annotated[str, InPath(max_length=100)]) -> None:
        """End a game and forget it."""
        service.games.cancel(game)

    @routes.get(
        "/v1/telephone/{game}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}}, **missing},
    )
    async def events(
        game: Annotated[str, InPath(max_length=100)],
        last_event_id: Annotated[str, Header(pattern="^[0-9]{0,6}$", description="The last round seen.")] = "",
    ) -> Response:
        """Server-sent events: `round` with each round as soon as it is played, then `end` with the status."""
        found = service.games.find(game)
        first = int(last_event_id) + 1 if last_event_id else 0
        return StreamingResponse(_events(found, first), media_type=EVENTS)

    return routes


async def _events(game: Game, first: int) -> AsyncIterator[str]:
    async for played in game.news(first, _HEARTBEAT_S):
        if played is None:
            yield ": still playing\n\n"
        else:
            yield f"id: {played['index']}\nevent: round\ndata: {json.dumps(played)}\n\n"
    ended = {"status": game.status} | ({"reason": game.reason} if game.reason else {})
    yield f"event: end\ndata: {json.dumps(ended)}\n\n"
