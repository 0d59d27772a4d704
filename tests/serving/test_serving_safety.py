"""What strangers send: nothing gets in, out, or down. Every refusal has the one form of errors."""

from __future__ import annotations

import base64
import json
import logging
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO

import httpx
import pytest
from PIL import Image

from tests.servers import occupied, request, wait_until

TEXT = "a red dog"
TOKEN = "0123456789abcdef"


def problem(answer: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, whose form and headers are checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert list(answer.json()) == ["error"] and set(answer.json()["error"]) == {"code", "message", "request_id"}
    assert answer.json()["error"]["code"] == code, answer.text
    assert "Traceback" not in answer.text and "/telephonegan/" not in answer.text
    return answer.json()["error"]["message"]


def exchange(server, sent: bytes, *, seconds: float = 30) -> bytes:
    """What the server answers to these bytes before it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


# ---------------------------------------------------------------------------------------------------- uploads


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(kind: str, **options) -> bytes:
    buffer = BytesIO()
    Image.radial_gradient("L").convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded("JPEG")
BAD_FILES = {
    "bomb": png(100_000, 100_000, bytes(1_000_000)),
    "over the pixel limit": png(8000, 8000, bytes(1000)),
    "truncated JPEG": JPEG[: len(JPEG) // 2],
    "truncated PNG": encoded("PNG")[:200],
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "SVG with a JPEG behind": b"<svg/>" + JPEG,
    "HTML": b"<html><script>alert(1)</script></html>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n",
    "zip": b"PK\x03\x04" + bytes(100),
    "path": b"/etc/passwd",
    "address": b"http://127.0.0.1:1/secret.png",
    "empty": b"",
    "noise": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_not_a_picture_is_explained(server, name):
    as_form = problem(server.post("/v1/caption", files={"image": BAD_FILES[name]}), 422, "image")
    assert "Allowed" in as_form or "Shrink" in as_form or "again" in as_form or "read" in as_form
    if BAD_FILES[name]:
        body = {"image": base64.b64encode(BAD_FILES[name]).decode()}
        assert problem(server.post("/v1/telephone", json=body), 422, "image") == as_form


def test_a_polyglot_is_read_as_the_picture_that_it_begins_as(server):
    """Whatever hangs behind the picture is neither run nor kept."""
    with_page = JPEG + b"<script>alert(1)</script>" + b"PK\x03\x04"
    clean = server.post("/v1/caption", files={"image": JPEG}).json()
    assert server.post("/v1/caption", files={"image": with_page}).json() == clean


@pytest.mark.parametrize(
    "image", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x.png", "data:image/png;base64,AA"]
)
def test_a_path_or_an_address_is_not_followed(server, image):
    assert "base64" in problem(server.post("/v1/caption", json={"image": image}), 422, "body")


def test_names_and_types_of_files_are_not_believed(server):
    clean = server.post("/v1/caption", files={"image": JPEG}).json()
    for name, kind in (("../../etc/cron.d/x", "image/png"), ("x.svg\0.jpg", "text/html"), ("a" * 500, "x/y")):
        assert server.post("/v1/caption", files={"image": (name, JPEG, kind)}).json() == clean


# ---------------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [
        {"text": "dog " * 10_000},
        {"text": "a\0dog"},
        {"text": ""},
        {"text": []},
        {"text": ["a dog"] * 1000},
        {"text": TEXT, "n": 10**9},
        {"text": TEXT, "n": -1},
        {"text": TEXT, "n": True},
        {"text": TEXT, "n": 1.5},
        {"text": TEXT, "seed": 2**32},
        {"text": TEXT, "seed": 2**32 - 1, "n": 2},
        {"text": TEXT, "size": 10**6},
        {"text": TEXT, "candidates": 10**6},
        {"text": TEXT, "truncation": 1e300},
        {"text": TEXT, "generator": "../../etc/passwd"},
        {"text": TEXT, "path": "/etc/passwd"},
        {"text": [TEXT] * 20, "n": 20},
        {"text": TEXT, "n": 3, "candidates": 16},
        {"text": {"$gt": ""}},
        [],
        "text",
    ],
)
def test_what_is_not_allowed_is_named(server, body):
    assert len(problem(server.post("/v1/generate", json=body), 422, "body")) < 1000


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"text": NaN}', b'{"n": ' + b"9" * 10_000 + b"}", b"\xff\xfe\x00", b'{"a":' * 5000],
)
def test_what_is_not_json_is_refused(server, content):
    answer = server.post("/v1/generate", content=content, headers={"content-type": "application/json"})
    problem(answer, 400, "json")


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\u0000"])
@pytest.mark.parametrize("body", [b'{"text": "a %s dog"}', b'{"text": "a dog", "%s": 1}', b'{"text": ["%s"]}'])
def test_what_cannot_be_written_back_is_refused(server, escape, body):
    answer = server.post("/v1/generate", content=body % escape, headers={"content-type": "application/json"})
    problem(answer, 422, "body")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("text/plain", 415), ("", 415), ("multipart/form-data", 400), ("multipart/form-data; boundary=", 400)],
)
def test_other_media_types_are_refused(server, content_type, status):
    answer = server.post("/v1/caption", content=b"--x\r\n\r\n", headers={"content-type": content_type})
    problem(answer, status, "content-type" if status == 415 else "form")


def test_damaged_forms_are_refused(server):
    kind = {"content-type": "multipart/form-data; boundary=x"}
    head = b'--x\r\ncontent-disposition: form-data; name="'
    for content in (
        b"",
        b"--x",
        b"--x--",
        b"\0" * 1000,
        b"--x\r\n\r\nbody\r\n--x--",
        head + b'seed"\r\n\r\n1\r\n--x--\r\n',
        head + b'image"\r\n\r\ntext\r\n--x--\r\n',
        head + b'image"; filename="a"\r\n\r\nno end',
        (head + b'seed"\r\n\r\n1\r\n') * 2 + b"--x--\r\n",
        (head + b'f"; filename="a"\r\n\r\n1\r\n') * 50 + b"--x--\r\n",
        b"".join(head + b'f%d"\r\n\r\n1\r\n' % k for k in range(500)) + b"--x--\r\n",
        head + b'seed"\r\n\r\n' + b"1" * 100_000 + b"\r\n--x--\r\n",
        head + b'image"; filename="a"\r\n' + b"x: y\r\n" * 5000 + b"\r\n1\r\n--x--\r\n",
        b"--x\r\ncontent-disposition: form-data; name=\"\xff\"; filename*=UTF-8''%ff\r\n\r\n1\r\n--x--\r\n",
    ):
        answer = server.post("/v1/caption", content=content, headers=kind)
        assert answer.status_code in (400, 422), (content[:100], answer.text)
        problem(answer, answer.status_code, answer.json()["error"]["code"])


def test_a_body_is_refused_before_it_is_read(server):
    most = server.service.settings.max_body
    answer = exchange(server, request(b"{", length=most + 1) + bytes(1000))
    assert answer.startswith(b"HTTP/1.1 413 ") and b"connection: close" in answer.lower()
    with_chunks = server.post("/v1/caption", content=iter([bytes(1_000_000)] * 20), headers={"content-type": "x/y"})
    assert with_chunks.status_code in (413, 415)


def test_a_body_in_pieces_is_counted(serving):
    with serving(max_body=10_000) as server:
        kind = {"content-type": "application/json"}
        answer = server.post("/v1/generate", content=iter([b" " * 1000] * 50), headers=kind)
        assert "10,000" in problem(answer, 413, "size")


def test_a_slow_body_is_not_waited_for(serving):
    with serving(body_s=0.3) as server:
        answer = exchange(server, request(b'{"text": ', length=100))
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"slow"' in answer
        assert server.get("/livez").status_code == 200


def test_a_slow_head_ends_the_connection(serving, monkeypatch):
    monkeypatch.setattr("telephonegan.serving.server._HEAD_S", 0.3)
    with serving() as server:
        assert exchange(server, b"GET / HTTP/1.1\r\nhost: ") == b""
        assert exchange(server, b"") == b""


# ---------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx\x00y: 1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_bad_http_is_answered_in_the_same_form(server, sent):
    head, _, body = exchange(server, sent + b"\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"nosniff" in head
    assert json.loads(body)["error"]["code"] == "http"


def test_length_and_chunks_together_do_not_smuggle_a_request(server):
    sent = request(
        b"0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", headers="transfer-encoding: chunked\r\n"
    )
    assert exchange(server, sent).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("headers", [{"content-encoding": "gzip"}, {"content-encoding": "br, gzip"}])
def test_compressed_bodies_are_not_unpacked(server, headers):
    answer = server.post("/v1/generate", content=zlib.compress(bytes(10**6)), headers=headers)
    problem(answer, 415, "content-encoding")


def test_a_request_id_is_kept_if_it_is_harmless(server):
    assert server.get("/livez", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for other in ("a b", "x" * 100, 'a"}'):
        assert server.get("/livez", headers={"x-request-id": other}).headers["x-request-id"] != other


def test_the_log_has_one_line_for_each_request_whatever_is_in_it(server, caplog):
    with caplog.at_level(logging.INFO, "telephonegan.serving"):
        server.get("/nowhere%0d%0a2026 INFO forged%1b[31m")
        wait_until(lambda: "forged" in caplog.text)
    (line,) = [each.getMessage() for each in caplog.records if "forged" in each.getMessage()]
    assert "\n" not in line and "\r" not in line and "\x1b" not in line


def test_there_is_no_cross_origin_access(server):
    answer = server.get("/v1/models", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": f"http://127.0.0.1:{server.port + 1}"},
    ):
        problem(server.post("/v1/generate", json={"text": TEXT}, headers=headers), 403, "origin")
    assert server.post("/v1/generate", json={"text": TEXT}, headers={"origin": server.url}).status_code == 200


def test_a_server_of_this_machine_answers_to_its_own_names_only(serving):
    with serving(allowed_hosts=("pictures.example.org",)) as server:
        problem(server.get("/v1/models", headers={"host": "evil.example"}), 421, "host")
        for name in ("localhost", f"127.0.0.1:{server.port}", "pictures.example.org", "[::1]:80"):
            assert server.get("/v1/models", headers={"host": name}).status_code == 200


def test_a_token_is_wanted_where_there_is_one(serving):
    with serving(token=TOKEN) as server:
        for given in (
            {},
            {"authorization": TOKEN},
            {"authorization": "Bearer wrong"},
            {"authorization": b"Bearer \xe9"},
        ):
            answer = server.get("/v1/models", headers=given)
            problem(answer, 401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/metrics", "/openapi.json", "/docs", "/v1/telephone/x", "/api/v1.0/bird"):
            assert server.get(path).status_code == 401
        assert server.get("/v1/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert [server.get(path).status_code for path in ("/livez", "/readyz", "/")] == [200] * 3


def test_methods_and_paths_that_are_not_there(server):
    assert server.put("/v1/telephone/x").headers["allow"] == "DELETE, GET"
    problem(server.request("FOO", "/v1/generate"), 405, "method-not-allowed")
    for path in ("/v1", "/../etc/passwd", "/pictures/../../etc/passwd", "/pictures/..%2f..%2fetc%2fpasswd", "/%00"):
        problem(server.get(path), 404, "not-found")
    problem(server.get(f"/pictures/{'0' * 32}.png"), 404, "picture")
    problem(server.get("/v1/telephone/x"), 404, "game")
    problem(server.get(f"/v1/telephone/{'x' * 1000}"), 422, "request")
    problem(server.get("/v1/telephone/x/events", headers={"last-event-id": "x"}), 422, "request")


# ---------------------------------------------------------------------------------------------------- under load


def test_a_full_queue_is_answered_at_once_with_when_to_come_again(serving):
    with serving(queue=2) as server, ThreadPoolExecutor(2) as pool:
        with occupied(server):
            waiting = pool.submit(server.post, "/v1/generate", json={"text": TEXT, "n": 2})
            wait_until(lambda: server.service.thread.waiting == 2)
            answer = server.post("/v1/generate", json={"text": TEXT})
            problem(answer, 503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
        assert waiting.result().status_code == 200
        assert server.post("/v1/generate", json={"text": TEXT}).status_code == 200


def test_requests_and_games_at_a_time_are_counted(serving):
    with serving(max_requests=1, max_games=1) as server, ThreadPoolExecutor(2) as pool:
        with occupied(server):
            assert server.post("/v1/telephone", json={"text": TEXT}).status_code == 202
            assert server.post("/v1/telephone", json={"text": TEXT}).headers["retry-after"]
            waiting = pool.submit(server.post, "/v1/generate", json={"text": TEXT})
            wait_until(lambda: server.service.thread.waiting == 2)
            problem(server.post("/v1/generate", json={"text": TEXT}), 503, "busy")
            assert server.get("/livez").status_code == 200
        assert waiting.result().status_code == 200


def test_what_takes_too_long_is_dropped(serving):
    with serving(timeout_s=0.2) as server, occupied(server):
        problem(server.post("/v1/generate", json={"text": TEXT}), 503, "timeout")
        assert all(ticket.future.cancelled() for ticket in server.service.thread._tickets)


def test_the_work_of_a_client_that_has_gone_is_dropped(server, caplog):
    with occupied(server), caplog.at_level(logging.INFO, "telephonegan.serving"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request(json.dumps({"text": TEXT}).encode(), headers="x-request-id: gone\r\n"))
            wait_until(lambda: server.service.thread.waiting == 1)
        wait_until(lambda: all(ticket.future.cancelled() for ticket in server.service.thread._tickets))
        wait_until(lambda: any("gone POST /v1/generate 499" in each.getMessage() for each in caplog.records))


def test_an_unexpected_error_is_in_the_log_and_not_in_the_answer(server, caplog, monkeypatch):
    def broken(self, models, items):
        raise RuntimeError("secret of the server")

    monkeypatch.setattr("telephonegan.serving.work.Paint.compute", broken)
    with caplog.at_level(logging.INFO, "telephonegan.serving"):
        answer = server.post("/v1/generate", json={"text": TEXT})
        wait_until(lambda: answer.json()["error"]["request_id"] in caplog.text)
    problem(answer, 500, "server")
    assert "secret" not in answer.text
    assert "secret of the server" in caplog.text


def test_stopping_finishes_what_runs_and_refuses_the_rest(serving):
    with serving() as server, ThreadPoolExecutor(2) as pool:
        with occupied(server):
            begun = server.post("/v1/telephone", json={"text": TEXT, "rounds": 40}).json()
            running = pool.submit(server.post, "/v1/generate", json={"text": TEXT})
            stream = pool.submit(server.get, begun["events"])
            wait_until(lambda: server.service.thread.waiting == 2)
            server.service.begin_stopping()
            problem(server.get("/readyz"), 503, "stopping")
            problem(server.post("/v1/generate", json={"text": TEXT}), 503, "stopping")
            server.server.should_exit = True
        assert running.result().status_code == 200
        assert '"status": "stopped"' in stream.result().text
