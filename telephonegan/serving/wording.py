"""What is wrong with a request, in sentences: what was given, and what the schema allows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from telephonegan.errors import printable, unknown_setting

_SHOWN_PROBLEMS = 5

Schema = Mapping[str, Any]


def explained(errors: Sequence[Mapping[str, Any]], properties: Mapping[str, Schema]) -> str:
    """Validation errors of pydantic as sentences, the first few of them; `properties` are the schemas of the fields.

    >>> error = {"type": "int_parsing", "loc": ("n",), "input": "x"}
    >>> explained([error], {"n": {"type": "integer", "minimum": 1, "maximum": 32}})
    'n must be a whole number from 1 to 32; "x" was given.'
    """
    by_field: dict[str, Mapping[str, Any]] = {}
    for each in sorted(errors, key=lambda each: -len(each["loc"])):  # of a union, the kind that fits most of it
        by_field.setdefault(str(each["loc"][:1]), each)
    problems = [_problem(each, properties) for each in by_field.values()]
    more = f" And {len(problems) - _SHOWN_PROBLEMS} more." if len(problems) > _SHOWN_PROBLEMS else ""
    return " ".join(problems[:_SHOWN_PROBLEMS]) + more


def allowed(schema: Schema) -> str:
    """What a JSON schema allows, in words.

    >>> allowed({"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]})
    'a text of at most 9 characters or null'
    """
    if "anyOf" in schema:
        return " or ".join(allowed(each) for each in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return str(schema["const"])
    return _OF_TYPE.get(schema.get("type", ""), lambda _: "something else")(schema)


def shown(text: str, limit: int = 60) -> str:
    """What a client sent, fit for an answer and a log."""
    safe = printable(text[: limit + 1].encode("utf-8", "backslashreplace").decode())
    return safe[:limit] + "…" if len(text) > limit else safe or "nothing"


def _problem(error: Mapping[str, Any], properties: Mapping[str, Schema]) -> str:
    if not error["loc"]:
        fields = ", ".join(properties)
        return f"The body must be an object with the fields {fields}; {_given(error['input'])} was given."
    field = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return str(unknown_setting("This request", shown(field), list(properties)))
    wanted = allowed(properties.get(field, {}))
    if error["type"] == "missing":
        return f"{shown(field)} is missing. It must be {wanted}."
    position = next((f" at position {part}" for part in error["loc"][1:] if isinstance(part, int)), "")
    return f"{shown(field)} must be {wanted}; {_given(error['input'])} was given{position}."


def _given(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a list of {len(value)}"
    return shown(json.dumps(value[:100] if isinstance(value, str) else value, ensure_ascii=False, default=str))


# ---------------------------------------------------------------------------------------------------- types


def _text(schema: Schema) -> str:
    of = _count(schema.get("minLength"), schema.get("maxLength"))
    like = f" that matches {schema['pattern']}" if "pattern" in schema else ""
    return f"a text{f' of {of} characters' if of else ''}{like}"


def _list(schema: Schema) -> str:
    of = _count(schema.get("minItems"), schema.get("maxItems"))
    return f"a list{f' of {of}' if of else ''}, each {allowed(schema.get('items', {}))}"


def _object(schema: Schema) -> str:
    of = _count(None, schema.get("maxProperties"))
    return f"an object{f' of {of} names' if of else ''}, each with {allowed(schema.get('additionalProperties', {}))}"


def _number(kind: str, schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{kind} from {low:g} to {high:g}" if isinstance(low, float) else f"{kind} from {low} to {high}"
    bounds = (("at least", "minimum"), ("above", "exclusiveMinimum"), ("at most", "maximum"))
    return " ".join([kind, " and ".join(f"{word} {schema[name]:g}" for word, name in bounds if name in schema)]).strip()


def _count(least: int | None, most: int | None) -> str:
    if most is None:
        return f"at least {least}" if least else ""
    return f"{least} to {most}" if least else f"at most {most}"


_OF_TYPE = {
    "string": _text,
    "integer": lambda schema: _number("a whole number", schema),
    "number": lambda schema: _number("a number", schema),
    "boolean": lambda _: "true or false",
    "array": _list,
    "object": _object,
    "null": lambda _: "null",
}
