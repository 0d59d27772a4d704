"""The routes over a real connection: captions, pictures, games, models, and the two routes of AttnGAN's server."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.errors import TelephoneganError, TextError
from telephonegan.inference import derived_seed
from telephonegan.serving import Client
from telephonegan.telephone import load
from tests.tiny import NAME

TEXT = "a red dog runs on the beach"


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)), dtype=int)


def painted(answer) -> list[np.ndarray]:
    assert answer.status_code == 200, answer.text
    return [opened(base64.b64decode(each["png"])) for each in answer.json()["pictures"]]


@pytest.fixture
def own(only_tiny):
    """The same models, without a server."""
    return load(NAME, NAME, "cpu")


# ---------------------------------------------------------------------------------------------------- caption


def test_a_form_and_base64_give_the_caption_that_the_library_gives(server, photo, own):
    expected = own.caption(photo)
    as_form = server.post("/v1/caption", files={"image": photo})
    as_json = server.post("/v1/caption", json={"image": base64.b64encode(photo).decode()})
    assert as_form.status_code == as_json.status_code == 200
    assert as_form.json() == as_json.json()
    assert as_form.json()["text"] == expected.text and as_form.json()["words"] == expected.words
    assert as_form.json()["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)
    assert as_form.json()["attention"] is None


def test_fields_of_a_form_are_settings(server, photo, own):
    expected = own.caption(photo, method="sample", temperature=2.0, seed=5)
    fields = {"method": "sample", "temperature": "2.0", "seed": "5"}
    answer = server.post("/v1/caption", files={"image": photo}, data=fields).json()
    assert (answer["text"], answer["seed"]) == (expected.text, 5)


def test_attention_is_a_map_for_every_word(server, photo, own):
    expected = own.caption(photo)
    answer = server.post("/v1/caption", files={"image": photo}, data={"attention": "true"}).json()
    assert [each["word"] for each in answer["attention"]] == expected.words
    for told, seen in zip(answer["attention"], expected.attention, strict=True):
        shown = opened(base64.b64decode(told["png"])) / 255 * told["peak"]
        assert np.abs(shown - seen).max() < told["peak"] / 200


# ---------------------------------------------------------------------------------------------------- generate


def test_pictures_are_those_of_the_library(server, own):
    answer = server.post("/v1/generate", json={"text": [TEXT, "two people in the snow"], "n": 2, "seed": 7})
    expected = [each for text in (TEXT, "two people in the snow") for each in own.generate(text, n=2, seed=7)]
    assert [each["seed"] for each in answer.json()["pictures"]] == [7, 8, 7, 8]
    for got, picture in zip(painted(answer), expected, strict=True):
        assert np.abs(got - np.asarray(picture.image, dtype=int)).max() <= 1


def test_a_server_computes_in_the_precision_that_was_chosen(serving, monkeypatch):
    monkeypatch.setattr("telephonegan.inference.has_bfloat16", lambda device: True)
    [expected] = load(NAME, NAME, "cpu", precision="bf16").generate([TEXT], seed=7)
    with serving(precision="bf16") as server:
        [got] = painted(server.post("/v1/generate", json={"text": TEXT, "seed": 7}))
    [fine] = load(NAME, NAME, "cpu").generate([TEXT], seed=7)
    assert (got == expected.image).all() and (got != fine.image).any()


def test_png_is_answered_where_it_is_accepted(server):
    as_json = painted(server.post("/v1/generate", json={"text": TEXT, "seed": 3}))[0]
    answer = server.post("/v1/generate", json={"text": TEXT, "seed": 3}, headers={"accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    assert (opened(answer.content) == as_json).all()
    two = server.post("/v1/generate", json={"text": TEXT, "n": 2}, headers={"accept": "image/png"})
    assert two.status_code == 406 and "2" in two.json()["error"]["message"]


def test_a_size_is_a_stage_or_a_scaled_picture(server):
    sizes = [
        painted(server.post("/v1/generate", json={"text": TEXT, "size": size}))[0].shape for size in (8 * 2, 8 * 4, 100)
    ]
    assert sizes == [(16, 16, 3), (32, 32, 3), (100, 100, 3)]


def test_unknown_words_are_reported(server):
    (told,) = server.post("/v1/generate", json={"text": "a zeppelin runs"}).json()["pictures"]
    assert told["words"] == ["a", "runs"] and told["dropped_words"] == ["zeppelin"]


def test_answers_do_not_depend_on_who_shares_the_batch(server, photo):
    """The same requests alone, and all at once with others."""
    wanted = [{"text": TEXT, "seed": seed} for seed in range(12)]
    alone = [painted(server.post("/v1/generate", json=each))[0] for each in wanted]
    said = server.post("/v1/caption", files={"image": photo}).json()["text"]
    batches = server.service.metrics.batch
    before = batches._sum.get()
    with ThreadPoolExecutor(16) as pool:
        captions = [pool.submit(server.post, "/v1/caption", files={"image": photo}) for _ in range(4)]
        others = [pool.submit(server.post, "/v1/generate", json={"text": "zyx"}) for _ in range(4)]
        together = [pool.submit(server.post, "/v1/generate", json=each) for each in wanted]
    for mine, answer in zip(alone, together, strict=True):
        assert np.abs(mine - painted(answer.result())[0]).max() <= 1
    assert {each.result().json()["text"] for each in captions} == {said}
    assert {each.result().status_code for each in others} == {422}
    assert batches._sum.get() - before == 16


# ---------------------------------------------------------------------------------------------------- telephone


def events(answer) -> list[tuple[str, dict]]:
    fields = [dict(line.split(": ", 1) for line in part.split("\n")) for part in answer.text.strip().split("\n\n")]
    return [(each["event"], json.loads(each["data"])) for each in fields]


def same_game(rounds: list[dict], chain: Chain) -> bool:
    return [each["caption"] for each in rounds] == [each.caption.text for each in chain]


@pytest.mark.parametrize("source", ["text", "image"])
def test_a_game_is_the_one_of_the_library(server, own, photo, source):
    given = {"text": TEXT} if source == "text" else {"image": photo}
    chain = own.play(**given, rounds=3, seed=4, progress=False)
    if source == "text":
        begun = server.post("/v1/telephone", json={"text": TEXT, "rounds": 3, "seed": 4})
    else:
        begun = server.post("/v1/telephone", files={"image": photo}, data={"rounds": "3", "seed": "4"})
    assert begun.status_code == 202
    told = events(server.get(begun.json()["events"]))
    assert told.pop() == ("end", {"status": "done"})
    rounds = [data for _, data in told]
    assert same_game(rounds, chain) and rounds[0]["picture"] is None
    for played, expected in zip(rounds[1:], chain.pictures[-3:], strict=True):
        got = opened(server.get(played["picture"]).content)
        assert np.abs(got - np.asarray(expected.image, dtype=int)).max() <= 1
    game = server.get(begun.headers["location"]).json()
    assert game["status"] == "done" and game["rounds"] == rounds


def test_a_stream_goes_on_after_the_last_round_that_was_seen(server):
    begun = server.post("/v1/telephone", json={"text": TEXT, "rounds": 3}).json()
    server.get(begun["events"])
    told = events(server.get(begun["events"], headers={"last-event-id": "1"}))
    assert [data["index"] for kind, data in told if kind == "round"] == [2, 3]


@pytest.mark.parametrize(
    ("error", "told"),
    [(TextError("the words ran out"), "the words ran out"), (RuntimeError("secret"), "in its log under game")],
)
def test_a_game_that_fails_says_why(server, monkeypatch, error, told):
    def failing(self, models, items):
        raise error

    monkeypatch.setattr("telephonegan.serving.work.PlayRound.compute", failing)
    begun = server.post("/v1/telephone", json={"text": TEXT}).json()
    ((kind, ended),) = events(server.get(begun["events"]))
    assert (kind, ended["status"]) == ("end", "failed") and told in ended["reason"]
    assert server.get(f"/v1/telephone/{begun['id']}").json()["reason"] == ended["reason"]
    assert "secret" not in ended["reason"]
    with pytest.raises(TelephoneganError, match=told):
        list(Client(server.url).play(text=TEXT))


def test_a_deleted_game_is_gone_and_its_stream_ends(serving):
    with serving(max_rounds=1000) as server:
        begun = server.post("/v1/telephone", json={"text": TEXT, "rounds": 1000}).json()
        with ThreadPoolExecutor(1) as pool:
            stream = pool.submit(server.get, begun["events"])
            while len(server.get(f"/v1/telephone/{begun['id']}").json()["rounds"]) < 5:  # the stream has begun by then
                time.sleep(0.01)
            assert server.delete(f"/v1/telephone/{begun['id']}").status_code == 204
            assert events(stream.result())[-1] == ("end", {"status": "stopped"})
        assert server.get(f"/v1/telephone/{begun['id']}").status_code == 404
        assert server.service.games.playing == 0


# ---------------------------------------------------------------------------------------------------- the original's


def test_bird_has_its_pictures_in_the_right_places(server, own):
    answer = server.post("/api/v1.0/bird", json={"caption": TEXT})
    assert answer.status_code == 201 and list(answer.json()) == ["bird"]
    told = answer.json()["bird"]
    assert list(told) == ["small", "medium", "large", "map1", "map2", "caption", "elapsed"]
    assert told["caption"] == TEXT and 0 < told["elapsed"] < 60
    pictures = {name: opened(server.get(told[name]).content) for name in ("small", "medium", "large", "map1", "map2")}
    assert [pictures[name].shape[:2] for name in ("small", "medium", "large")] == [(8, 8), (16, 16), (16, 16)]
    expected = own.generate(TEXT, seed=100).image  # AttnGAN truncates grey levels, the library rounds
    assert np.abs(pictures["large"] - np.asarray(expected, dtype=int)).max() <= 1
    assert pictures["map1"].shape[0] == pictures["map2"].shape[0] == 306  # an attention picture with its words


def test_birds_are_six_different_pictures_in_three_sizes(server, own):
    told = server.post("/api/v1.0/birds", json={"caption": TEXT, "seed": 1}).json()["bird"]
    assert list(told) == [*(f"bird{k}" for k in range(1, 7)), "caption", "elapsed"]
    addresses = [told[f"bird{k}"][size] for k in range(1, 7) for size in ("small", "medium", "large")]
    assert len(set(addresses)) == 18
    third = opened(server.get(told["bird3"]["large"]).content)
    expected = own.generate(TEXT, seed=derived_seed(1, 2)).image
    assert np.abs(third - np.asarray(expected, dtype=int)).max() <= 1


@pytest.mark.parametrize("body", [{}, {"caption": 3}, {"caption": "zyx"}, {"caption": ""}, [], "bird"])
def test_birds_want_a_caption(server, body):
    for route in ("/api/v1.0/bird", "/api/v1.0/birds"):
        assert server.post(route, json=body).status_code == 400
    assert server.post("/api/v1.0/bird", data={"caption": TEXT}).status_code == 400


def test_the_version_is_what_the_original_answers(server):
    answer = server.get("/")
    assert (answer.status_code, answer.text) == (200, "Version 1")


# ---------------------------------------------------------------------------------------------------- the rest


def test_models_and_limits_are_told(server):
    told = server.get("/v1/models").json()
    own = {(each["kind"], each["name"]) for each in told["models"]}
    assert {("captioner", NAME), ("generator", NAME), ("damsm", NAME), ("axes", f"of-{NAME}")} <= own
    assert ("generator", "free") not in own  # it paints for its axes only
    assert told["limits"]["max_text"] == server.service.settings.max_text


def test_health_and_numbers(server):
    assert server.get("/livez").text == "alive" and server.get("/readyz").text == "ready"
    server.post("/v1/generate", json={"text": TEXT})
    numbers = server.get("/metrics").text
    assert 'telephonegan_requests_total{method="POST",route="/v1/generate",status="200"}' in numbers
    assert "telephonegan_waiting_pictures 0.0" in numbers and "telephonegan_playing_games" in numbers


def test_documentation_needs_no_other_server(server):
    page = server.get("/docs").text
    assert "http://" not in page and "https://" not in page
    for address in (
        "/openapi.json",
        "/static-offline-docs/swagger-ui-bundle.js",
        "/static-offline-docs/swagger-ui.css",
    ):
        assert address in page and server.get(address).status_code == 200


def test_examples_of_the_documentation_work(server):
    for path, methods in server.get("/openapi.json").json()["paths"].items():
        for body in [m["requestBody"]["content"]["application/json"] for m in methods.values() if "requestBody" in m]:
            answer = server.post(path, json=json.loads(json.dumps(body["example"]).replace("small", "red")))
            assert answer.status_code < 300, (path, answer.text)


def test_the_client_calls_everything(server, photo, tmp_path, own):
    client = Client(server.url)
    (tmp_path / "photo.jpg").write_bytes(photo)
    assert client.caption(tmp_path / "photo.jpg")["text"] == client.caption(photo)["text"] == own.caption(photo).text
    assert [picture.size for picture in client.generate(TEXT, n=2)] == [(16, 16)] * 2
    assert len(client.embed([TEXT, "two people"])) == 2
    assert client.axes(axes=f"of-{NAME}", text=TEXT, steps={"warmth": 2}, size=24).size == (24, 24)
    assert client.guide(TEXT, "junco", steps=2, size=24).size == (24, 24)
    rounds = list(client.play(text=TEXT, rounds=2))
    assert [each["index"] for each in rounds] == [0, 1, 2] and rounds[2]["picture"].size == (16, 16)
    with pytest.raises(TelephoneganError, match="None of the words"):
        client.generate("zyx")
    with pytest.raises(TelephoneganError, match="does not answer"):
        Client("http://127.0.0.1:9").caption(photo)
