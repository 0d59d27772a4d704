"""Validation errors in the words of this project: what was given, and what is allowed."""

from __future__ import annotations

import pytest

TEXT = "a red dog"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"text": TEXT, "n": 1000}, "n must be a whole number from 1 to 32; 1000 was given."),
        ({"text": TEXT, "n": 1.5}, "n must be a whole number from 1 to 32; 1.5 was given."),
        ({"text": TEXT, "truncation": "x"}, 'truncation must be a number from 0 to 2; "x" was given.'),
        ({"text": TEXT, "attention": 1}, "attention must be true or false; 1 was given."),
        ({"text": TEXT, "generator": "dali"}, 'generator must be tiny; "dali" was given.'),
        ({"text": ""}, "text must be a text of 1 to 2000 characters or a list of 1 to 32, each a text of 1 to"),
        ({"text": [TEXT, 3]}, "3 was given at position 1."),
        ({"text": {"a": 1}}, "; an object was given."),
        ({"text": "x" * 3000}, "…"),
        ({}, "text is missing. It must be a text of 1 to"),
        ({"text": TEXT, "sed": 1}, "This request has no setting 'sed'. Did you mean seed or size?"),
        ([], "The body must be an object with the fields text, n, seed, size,"),
    ],
)
def test_what_was_given_and_what_is_allowed_are_said(server, body, told):
    answer = server.post("/v1/generate", json=body)
    message = answer.json()["error"]["message"]
    assert answer.status_code == 422 and told in message
    assert "Input" not in message and "input" not in message, "pydantic's own words"


def test_fields_of_a_form_are_explained_alike(server, photo):
    answer = server.post("/v1/caption", files={"image": photo}, data={"top_p": "7", "method": "guess", "seed": "x"})
    told = answer.json()["error"]["message"]
    assert 'top_p must be a number above 0 and at most 1; "7" was given.' in told
    assert 'method must be one of beam, greedy, sample; "guess" was given.' in told
    assert f'seed must be a whole number from 0 to {2**32 - 1}; "x" was given.' in told


def test_parts_of_the_address_and_headers_are_explained_alike(server):
    told = server.get(f"/v1/telephone/{'x' * 200}").json()["error"]["message"]
    assert told.startswith("game must be a text of at most 100 characters; ") and len(told) < 200
    told = server.get("/v1/telephone/x/events", headers={"last-event-id": "x"}).json()["error"]["message"]
    assert told == 'last-event-id must be a text that matches ^[0-9]{0,6}$; "x" was given.'


def test_many_mistakes_are_not_all_listed(server):
    body = {f"field{k}": k for k in range(9)}
    told = server.post("/v1/generate", json=body).json()["error"]["message"]
    assert told.endswith("And 5 more.") and len(told) < 2000
