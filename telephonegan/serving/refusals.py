"""What is not answered, and why: one form of errors for all routes."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from telephonegan.errors import TelephoneganError, TextError, UnknownModelError


class Problem(BaseModel):
    """What was wrong."""

    code: str = Field(description="A word for programs, such as image, text, body, busy.")
    message: str = Field(description="A sentence for people: what was given, what is allowed, what to do.")
    request_id: str = Field(description="What to quote to whoever runs the server; it is in the log.")


class ErrorAnswer(BaseModel):
    """Every error has this form."""

    error: Problem

    model_config = {
        "json_schema_extra": {
            "example": {
                "error": {
                    "code": "text",
                    "message": "None of the words of 'zyx' is among the 4001 words this model knows. …",
                    "request_id": "5f0c9d3ab2f147e2",
                }
            }
        }
    }


class Refusal(Exception):
    """An answer other than the one that was asked for: a status, a code for programs, a message for people."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: float | None = None, closes: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after)))
        if closes:  # what follows on the connection is not read
            self.headers["connection"] = "close"

    @classmethod
    def of(cls, error: TelephoneganError) -> Refusal:
        """The answer to a request that the library cannot fulfil; an error of the server's own is not explained."""
        if isinstance(error, TextError):
            return cls(422, "text", str(error))
        if isinstance(error, UnknownModelError):
            return cls(422, "model", str(error))
        if isinstance(error, ValueError):  # pictures and settings
            return cls(422, type(error).__name__.removesuffix("Error").lower(), str(error))
        return cls.unexpected()

    @classmethod
    def unexpected(cls) -> Refusal:
        """The answer when the server is at fault."""
        return cls(500, "server", "The server made an error, which is in its log under this request_id.")

    def response(self, request_id: str) -> JSONResponse:
        """The answer, which names the request."""
        return JSONResponse(answer(self.code, self.message, request_id), self.status, self.headers)


def answer(code: str, message: str, request_id: str) -> dict[str, Any]:
    """The body of an error. Its message is free of what UTF-8 cannot carry."""
    safe = message.encode("utf-8", "backslashreplace").decode()
    return {"error": {"code": code, "message": safe, "request_id": request_id}}


_REASONS = {
    400: "The body cannot be parsed.",
    401: "The token is missing or wrong.",
    403: "The request comes from another web site.",
    404: "There is nothing of that name, or not any more.",
    405: "Another method is needed; the header Allow lists them.",
    406: "The answer cannot have the media type that is accepted.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body has another media type than is read.",
    421: "The server is not known under that host name.",
    422: "Something in the body is not allowed, or is not a picture or a sentence that can be used.",
    503: "Too many requests, or the server is stopping; try again after the seconds in the header Retry-After.",
}


def documentation(*without: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of errors."""
    return {
        status: {"model": ErrorAnswer, "description": why} for status, why in _REASONS.items() if status not in without
    }
