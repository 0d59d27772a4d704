"""What requests may hold, and how it is read: limits first, then JSON or a form, then the picture."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect, Request

from telephonegan.captioning import METHODS
from telephonegan.errors import printable
from telephonegan.inference import SEEDS
from telephonegan.latent.walk import MOST
from telephonegan.networks.backbone import BACKBONES
from telephonegan.networks.imagenet import class_names
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.settings import Settings
from telephonegan.serving.wording import explained, shown

if TYPE_CHECKING:
    from telephonegan.serving.work import Models

T = TypeVar("T", bound=BaseModel)

JSON, FORM = "application/json", "multipart/form-data"
_MOST_FIELDS = 20
_LONGEST_FIELD = 64_000

Seed = Annotated[int, Field(ge=0, le=SEEDS - 1, description="The same seed gives the same answer.")]
# Lone surrogates cannot be sent back, and NUL belongs to no sentence.
_TEXT = r"^[^\x00\ud800-\udfff]*$"


_FEATURE = Annotated[str, Field(min_length=1, max_length=100)]
_SIGMAS = Annotated[float, Field(ge=-MOST, le=MOST)]
_MOST_FEATURES = 64
_TEXT_OF_START = "What is painted before it is moved; empty for a generator without text."
_TOWARD = "A class of ImageNet that it should show: its name, such as golden retriever, or its number."
_NETWORK = "EfficientNet that judges how well it does; /v1/models lists those that are installed."
_STEPS_OF_GUIDE = "Of gradient ascent, each about as long as painting three pictures."
_STEPS = "How far to move along each feature, in σ of random pictures, to thousandths."
_LOCKED = "The features that are held while others move."
_NAME_OF_CLASS = Annotated[str, Field(min_length=1, max_length=100)]
_NUMBER_OF_CLASS = Annotated[int, Field(ge=0, le=len(class_names()) - 1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class _Decoding(_Body):
    method: Literal[METHODS] = "beam"  # type: ignore[valid-type]
    beam_width: int | None = Field(None, ge=1, le=20, description="Sentences kept during beam search.")
    temperature: float = Field(1.0, gt=0, le=100, description="With the method sample: above 1, rarer words.")
    top_p: float = Field(1.0, gt=0, le=1, description="With the method sample: only the likeliest words.")
    seed: Seed = 0


class Bodies:
    """The bodies of one server's requests, whose limits and model names are in their schemas."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings = settings
        text = Annotated[str, Field(min_length=1, max_length=settings.max_text)]
        texts = text | Annotated[list[text], Field(min_length=1, max_length=settings.max_pictures)]
        captioner, generator = _one_of(models.captioner_names), _one_of(models.generator_names)
        image = Annotated[
            str,
            Field(
                min_length=1,
                max_length=settings.max_body,
                description="A picture file in base64: JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF. Neither path nor URL.",
                json_schema_extra={"contentEncoding": "base64"},
            ),
        ]
        truncation = (float, Field(1.0, ge=0, le=2, description="Scales the noise."))
        candidates = (
            int,
            Field(1, ge=1, le=settings.max_candidates, description="Paint so many, keep the one that fits best."),
        )
        size = (int | None, Field(None, ge=16, le=1024, description="Width and height; null: the model's own."))
        start = (Annotated[str, Field(max_length=settings.max_text)], Field("", description=_TEXT_OF_START))
        attention = (
            Annotated[bool, BeforeValidator(_true_or_false)],
            Field(False, description="Add a map for every word."),
        )

        self.caption = create_model("Caption", __base__=_Decoding, captioner=captioner, attention=attention)
        self.generate = create_model(
            "Generate",
            __base__=_Body,
            text=(texts, ...),
            n=(int, Field(1, ge=1, le=settings.max_pictures, description="Pictures of each text: seed, seed + 1, …")),
            seed=(Seed, 0),
            size=size,
            truncation=truncation,
            candidates=candidates,
            generator=generator,
            attention=attention,
        )
        self.telephone = create_model(
            "Telephone",
            __base__=_Decoding,
            text=(text | None, Field(None, description="Start from this sentence instead of a picture.")),
            rounds=(int, Field(8, ge=1, le=settings.max_rounds)),
            captioner=captioner,
            generator=generator,
            truncation=truncation,
            candidates=candidates,
        )
        self.bird = create_model(
            "Bird", __base__=_Body, caption=(text, ...), seed=(Seed, 100), __doc__="A caption to paint."
        )
        self.embed = create_model("Embed", __base__=_Body, text=(texts, ...), embedding=_one_of(models.embedding_names))
        self.axes = create_model(
            "Axes",
            __base__=_Body,
            axes=_one_of(models.axis_names),
            seed=(Seed, 0),
            text=start,
            steps=(dict[_FEATURE, _SIGMAS], Field({}, max_length=_MOST_FEATURES, description=_STEPS)),
            locked=(list[_FEATURE], Field([], max_length=_MOST_FEATURES, description=_LOCKED)),
            size=size,
        )
        self.guide = create_model(
            "Guide",
            __base__=_Body,
            text=start,
            toward=(_NAME_OF_CLASS | _NUMBER_OF_CLASS, Field(description=_TOWARD)),
            seed=(Seed, 0),
            steps=(int, Field(min(40, settings.max_steps), ge=1, le=settings.max_steps, description=_STEPS_OF_GUIDE)),
            network=(Literal[BACKBONES], Field(BACKBONES[0], description=_NETWORK)),
            generator=_one_of(list(models.generators)),
            size=size,
        )
        self._with_image = {
            self.caption: create_model("CaptionInJson", __base__=self.caption, image=(image, ...)),
            self.telephone: create_model("TelephoneInJson", __base__=self.telephone, image=(image | None, None)),
        }

    def documentation(self, kind: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
        """The OpenAPI request body of a kind: as JSON and, where there is a picture, as a form."""
        whole = self._with_image.get(kind, kind)
        content = {JSON: {"schema": _schema(whole), "example": example}}
        if whole is not kind:
            form = _schema(kind)
            form["properties"] |= {"image": {"type": "string", "format": "binary", "description": "A picture file."}}
            form["required"] = ["image"] if whole.model_fields["image"].is_required() else []
            content[FORM] = {"schema": form}
        return {"requestBody": {"required": True, "content": content}}

    async def read(self, request: Request, kind: type[T]) -> tuple[T, bytes | None]:
        """What was asked, and the picture file with it. Raises Refusal."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        whole = self._with_image.get(kind, kind)
        if content_type == JSON:
            asked = _validated(whole, partial(whole.model_validate, strict=True), _parsed(await _content(request)))
            image = getattr(asked, "image", None)
            return asked, None if image is None else _decoded(image)
        if content_type == FORM and whole is not kind:
            fields, image = await _form(request)
            asked = _validated(kind, kind.model_validate_strings, fields)
            if image is None and whole.model_fields["image"].is_required():
                raise Refusal(422, "body", "image is missing: add the picture as a file.")
            return asked, image
        allowed = f"{JSON} or {FORM}" if whole is not kind else JSON
        raise Refusal(415, "content-type", f"The body must be {allowed}; {shown(content_type)} was given.")


def _one_of(names: Sequence[str]) -> tuple[Any, Any]:
    """A field that is one of these names, by default the first. Without any there is no route that takes it."""
    return (Literal[tuple(names)], Field(names[0])) if names else (str, ...)


def _true_or_false(value: Any) -> Any:
    """In a form, where everything is text, pydantic would take 0, yes and more."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


def _schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model without references, which OpenAPI would look for elsewhere."""
    return kind.model_json_schema()


async def _content(request: Request) -> bytes:
    return b"".join([chunk async for chunk in request.stream()])


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "json", f"The body is not JSON: {printable(str(error))[:200]}.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


class _FormParser(MultiPartParser):
    spool_max_size = 2**40  # a body that was let in is kept in memory, never in a file


async def _form(request: Request) -> tuple[dict[str, str], bytes | None]:
    """The text fields of a form, and its picture. File names are not looked at."""
    try:
        parser = _FormParser(
            request.headers, request.stream(), max_files=1, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD
        )
        parts = (await parser.parse()).multi_items()
    except (Refusal, ClientDisconnect):
        raise
    except Exception as error:  # parsers raise all kinds of exceptions for damaged bodies
        reason = printable(getattr(error, "message", "") or str(error) or type(error).__name__)[:200]
        wanted = f"a form of at most one file and {_MOST_FIELDS} fields"
        raise Refusal(400, "form", f"The body is not {wanted}: {reason}") from None
    fields, image = {}, None
    for name, value in parts:
        if name in fields or (name == "image" and image is not None):
            raise Refusal(422, "body", f"{shown(name)} was given twice.")
        if name == "image":
            if not isinstance(value, UploadFile):
                raise Refusal(422, "body", "image must be a file, such as curl -F image=@photo.jpg sends it.")
            image = await value.read()
        elif isinstance(value, UploadFile):
            raise Refusal(422, "body", f"{shown(name)} must not be a file; the picture is called image.")
        else:
            fields[name] = value
    return fields, image


def _decoded(image: str) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        hint = " A data URL is not base64: leave out what stands before the comma." if image[:5] == "data:" else ""
        raise Refusal(422, "body", f"image is not a picture file in base64: {printable(str(error))}.{hint}") from None


def _validated(kind: type[T], validate: Any, given: Any) -> T:
    try:
        asked = validate(given)
    except UnicodeError:
        raise Refusal(422, "body", "A name in the body contains lone surrogates.") from None
    except ValidationError as error:
        told = explained(error.errors(include_url=False), _schema(kind)["properties"])
        raise Refusal(422, "body", told) from None
    for name in ("text", "caption", "toward"):
        value = getattr(asked, name, None)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not re.fullmatch(_TEXT, text):
                raise Refusal(422, "body", f"{name} must not contain NUL characters or lone surrogates.")
    return asked
