"""Downloads: what arrives is checked, what fails says what to do by hand, and nothing half done stays."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import shlex
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlsplit
from urllib.response import addinfourl

import pytest

from telephonegan.cli.main import main
from telephonegan.errors import DownloadError, OutputError, SettingsError, UnknownModelError, WeightsError
from telephonegan.files import sha256
from telephonegan.zoo import catalogue, downloads, importing, store
from telephonegan.zoo.downloads import download_model, received
from telephonegan.zoo.links import PUBLISHED, Link
from telephonegan.zoo.published import load_published

Pages = dict[str, bytes]

HTML = b"\n<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
MODELS = [*PUBLISHED]
MANUAL = {
    "attngan-bird": "telephonegan import attngan-bird --generator bird_AttnGAN2.pth "
    "--text-encoder text_encoder200.pth --dictionary captions.pickle",
    "attngan-coco": "telephonegan import attngan-coco --generator coco_AttnGAN2.pth "
    "--text-encoder text_encoder100.pth --dictionary captions.pickle",
    "attndcgan-bird": "telephonegan import attndcgan-bird --generator bird_AttnDCGAN2.pth "
    "--text-encoder text_encoder200.pth --dictionary captions.pickle",
    "yunjey": "telephonegan import yunjey --encoder encoder-5-3000.pkl --decoder decoder-5-3000.pkl "
    "--vocabulary vocab.pkl",
}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def published(name: str) -> Pages:
    """What the web has for a model, by address: each file holds its own name, in a folder of its archive."""
    return {
        link.url: zipped({f"deep/in/{file}": file.encode() for file in link.pieces.values()})
        if link.is_archive
        else link.file.encode()
        for link in PUBLISHED[name].links
    }


def opener(pages: Pages, asked: list[str] | None = None) -> Callable[..., addinfourl]:
    def opened(url: str, timeout: float) -> addinfourl:
        assert 0 < timeout <= 60
        if asked is not None:
            asked.append(url)
        return addinfourl(io.BytesIO(pages[url]), {"Content-Length": str(len(pages[url]))}, url, 200)

    return opened


def failing(error: Exception) -> Callable[..., addinfourl]:
    def opened(url: str, timeout: float) -> addinfourl:
        raise error

    return opened


@pytest.fixture(autouse=True)
def home(tmp_path, no_shipped_models, monkeypatch) -> Path:
    """No models at all, and a folder for them that is not there yet."""
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    return tmp_path / "home"


@pytest.fixture
def imported(monkeypatch) -> list[SimpleNamespace]:
    """What the import functions were called with; the files' contents, as the files go."""
    calls: list[SimpleNamespace] = []

    def recorder(kind: str) -> Callable:
        def run(name: str, *, sources: dict, folder: Path | None, replace: bool, **files: Path) -> list[str]:
            contents = {part: path.read_text() for part, path in files.items()}
            calls.append(
                SimpleNamespace(kind=kind, name=name, files=contents, sources=sources, folder=folder, replace=replace)
            )
            return [name]

        return run

    monkeypatch.setattr(importing, "import_attngan", recorder("attngan"))
    monkeypatch.setattr(importing, "import_captioner", recorder("captioner"))
    return calls


def refused(name: str, pages: Pages, home: Path) -> str:
    """The message of a download that must fail and leave nothing."""
    with pytest.raises(DownloadError) as caught:
        download_model(name, opener=opener(pages))
    assert os.listdir(home) == []
    return str(caught.value)


def zip_link(name: str) -> Link:
    return next(link for link in PUBLISHED[name].links if link.is_archive)


class TestTable:
    def test_every_address_asks_for_the_file_itself(self):
        for link in (link for model in PUBLISHED.values() for link in model.links):
            url = urlsplit(link.url)
            asked = parse_qs(url.query)
            assert url.scheme == "https"
            if url.hostname == "www.dropbox.com":
                assert url.path.endswith(f"/{link.file}") and asked == {"dl": ["1"]}
            else:
                assert url.hostname == "drive.usercontent.google.com" and url.path == "/download"
                assert asked["export"] == ["download"] and asked["confirm"] == ["t"]
                assert len(asked["id"][0]) == 33

    @pytest.mark.parametrize("name", MODELS)
    def test_a_file_that_is_no_archive_is_its_only_piece(self, name):
        for link in PUBLISHED[name].links:
            assert link.is_archive or [*link.pieces.values()] == [link.file]

    def test_addresses_differ_where_files_do(self):
        files = {(link.url, *link.pieces.values()) for model in PUBLISHED.values() for link in model.links}
        assert len({url for url, *_ in files}) == len(files)


class TestWhatArrives:
    @pytest.mark.parametrize("name", MODELS)
    def test_every_piece_reaches_its_part_of_the_import(self, name, imported, tmp_path):
        assert download_model(name, opener=opener(published(name)), folder=tmp_path / "mine", replace=True) == [name]
        (call,) = imported
        assert (call.name, call.folder, call.replace) == (name, tmp_path / "mine", True)
        assert call.kind == ("captioner" if name == "yunjey" else "attngan")
        expected = {part: file for link in PUBLISHED[name].links for part, file in link.pieces.items()}
        assert call.files == expected

    @pytest.mark.parametrize("name", MODELS)
    def test_sources_hold_address_and_checksum_of_every_file(self, name, imported):
        download_model(name, opener=opener(published(name)))
        assert imported[0].sources == {
            file: {"url": link.url, "sha256": hashlib.sha256(file.encode()).hexdigest()}
            for link in PUBLISHED[name].links
            for file in link.pieces.values()
        }

    def test_every_address_is_asked_once_and_the_files_are_gone_afterwards(self, home, imported):
        asked: list[str] = []
        download_model("attngan-coco", opener=opener(published("attngan-coco"), asked))
        assert asked == [link.url for link in PUBLISHED["attngan-coco"].links]
        assert os.listdir(home) == []

    def test_image_encoder_may_be_missing_from_its_archive(self, imported):
        pages = published("attngan-bird")
        pages[zip_link("attngan-bird").url] = zipped({"text_encoder200.pth": b"text_encoder200.pth"})
        download_model("attngan-bird", opener=opener(pages))
        assert imported[0].files.keys() == {"generator", "text_encoder", "dictionary"}

    @pytest.mark.parametrize(
        "place", ["vocab.pkl", "a/b/c/vocab.pkl", "a\\b\\vocab.pkl", "../../vocab.pkl", "/vocab.pkl"]
    )
    def test_members_are_found_at_any_depth_and_written_nowhere_else(self, place, imported, tmp_path):
        pages = published("yunjey")
        pages[PUBLISHED["yunjey"].links[1].url] = zipped({"__MACOSX/._vocab.pkl": b"", place: b"words"})
        download_model("yunjey", opener=opener(pages))
        assert imported[0].files["vocabulary"] == "words"
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_of_several_members_the_least_hidden_one_is_taken(self, imported):
        pages = published("yunjey")
        url = PUBLISHED["yunjey"].links[1].url
        pages[url] = zipped({"old/backup/vocab.pkl": b"old", "data/vocab.pkl": b"new"})
        download_model("yunjey", opener=opener(pages))
        assert imported[0].files["vocabulary"] == "new"


class TestRefusals:
    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (URLError("Name or service not known"), "there is no connection"),
            (TimeoutError("timed out"), "there is no connection, or it broke (timed out)"),
            (HTTPError("https://a.org", 404, "Not Found", {}, io.BytesIO()), "the server answered 404 Not Found."),
        ],
    )
    def test_dead_link_names_the_files_and_the_command_to_import_them(self, name, error, words, home):
        with pytest.raises(DownloadError) as caught:
            download_model(name, opener=failing(error))
        message = str(caught.value)
        first = PUBLISHED[name].links[0]
        assert message.startswith(f"{name} was not downloaded: {first.file} from {first.url}: {words}")
        assert PUBLISHED[name].page in message
        assert message.endswith(f"and run: {MANUAL[name]}")
        assert os.listdir(home) == []

    @pytest.mark.parametrize("name", MODELS)
    def test_command_told_is_one_the_import_understands(self, name, monkeypatch):
        asked = []
        monkeypatch.setattr(importing, "import_model", lambda *name, **files: asked.append((*name, files)) or [])
        assert main(shlex.split(MANUAL[name])[1:]) == 0
        known = {part: file for link in PUBLISHED[name].links for part, file in link.pieces.items()}
        files = {part: file for part, file in known.items() if part != "image_encoder"}
        assert asked == [(name, files | {"replace": False})]

    def test_command_told_replaces_where_that_was_asked_for(self):
        with pytest.raises(DownloadError) as caught:
            download_model("yunjey", opener=failing(URLError("gone")), replace=True)
        assert str(caught.value).endswith(f"{MANUAL['yunjey']} --replace")

    @pytest.mark.parametrize("broken", range(3))
    @pytest.mark.parametrize("page", [HTML, b"\xef\xbb\xbf<html>", b"<!-- --><html>"])
    def test_web_page_is_no_file(self, page, broken, home, imported):
        pages = published("attngan-coco")
        link = PUBLISHED["attngan-coco"].links[broken]
        pages[link.url] = page
        assert f"{link.file} from {link.url}: a web page arrived" in refused("attngan-coco", pages, home)
        assert imported == []

    @pytest.mark.parametrize(
        "content", [b"", b"\x80\x02 a checkpoint", zipped({"a": b"b"})[:-10]], ids=["empty", "pickle", "cut"]
    )
    def test_not_a_zip(self, content, home):
        message = refused("yunjey", published("yunjey") | {zip_link("yunjey").url: content}, home)
        assert f"not a complete zip file; it begins with {content[:40]!r}" in message

    def test_zip_without_the_member_tells_what_it_holds(self, home):
        pages = published("yunjey") | {zip_link("yunjey").url: zipped({"readme.txt": b"moved"})}
        assert "the zip does not contain encoder-5-3000.pkl; it contains readme.txt" in refused("yunjey", pages, home)

    def test_folder_of_that_name_is_not_the_member(self, home):
        pages = published("yunjey") | {zip_link("yunjey").url: zipped({"encoder-5-3000.pkl/": b""})}
        assert "the zip does not contain encoder-5-3000.pkl" in refused("yunjey", pages, home)

    def test_empty_zip(self, home):
        pages = published("yunjey") | {zip_link("yunjey").url: zipped({})}
        assert "it contains nothing" in refused("yunjey", pages, home)

    def test_damaged_member(self, home):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("encoder-5-3000.pkl", b"weights")
        content = stream.getvalue().replace(b"weights", b"w?ights")
        message = refused("yunjey", published("yunjey") | {zip_link("yunjey").url: content}, home)
        assert "the zip is damaged (Bad CRC-32" in message

    def test_encrypted_member(self, home):
        content = zipped({"encoder-5-3000.pkl": b"weights"})
        directory = content.index(b"PK\x01\x02")
        content = content[:6] + b"\x01" + content[7 : directory + 8] + b"\x01" + content[directory + 9 :]
        message = refused("yunjey", published("yunjey") | {zip_link("yunjey").url: content}, home)
        assert "the zip is damaged (" in message and "encrypted" in message

    def test_member_that_unpacks_to_too_much(self, home, monkeypatch):
        pages = published("yunjey") | {zip_link("yunjey").url: zipped({"encoder-5-3000.pkl": bytes(10**6)})}
        monkeypatch.setattr(downloads, "_LIMIT_BYTES", 10**5)
        assert len(pages[zip_link("yunjey").url]) < 10**5
        assert "more than 100000 bytes" in refused("yunjey", pages, home)

    def test_endless_file(self, home, monkeypatch):
        monkeypatch.setattr(downloads, "_LIMIT_BYTES", 10)
        assert "more than 10 bytes" in refused("attngan-coco", published("attngan-coco"), home)

    def test_a_file_that_trickles_is_given_up(self, home, monkeypatch):
        """Each answer comes in time, and the file never would."""
        now = iter(range(0, 10**9, 29))
        monkeypatch.setattr("time.monotonic", lambda: next(now))
        trickle = SimpleNamespace(headers={}, read=None, read1=lambda size: b"x")
        with pytest.raises(DownloadError, match=r"only \d+ bytes arrived in \d+ seconds"):
            download_model("yunjey", opener=lambda url, timeout: contextlib.nullcontext(trickle))
        assert os.listdir(home) == []

    def test_files_that_do_not_fit_are_told_without_the_folder_they_were_in(self, home, monkeypatch):
        def misfit(name: str, *, decoder: Path, **others: object) -> None:
            raise WeightsError(f"{decoder} holds a generator, not a captioner decoder")

        monkeypatch.setattr(importing, "import_captioner", misfit)
        message = refused("yunjey", published("yunjey"), home)
        assert "was not downloaded: decoder-5-3000.pkl holds a generator, not a captioner decoder. Nothing" in message
        assert message.endswith(MANUAL["yunjey"])

    @pytest.mark.parametrize("moment", ["download", "import"])
    def test_stopped_by_hand_leaves_nothing(self, home, monkeypatch, moment):
        def stopped(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        if moment == "download":
            monkeypatch.setattr(addinfourl, "read1", stopped, raising=False)
        else:
            monkeypatch.setattr(importing, "import_captioner", stopped)
        with pytest.raises(KeyboardInterrupt):
            download_model("yunjey", opener=opener(published("yunjey")))
        assert os.listdir(home) == []

    def test_full_disk_is_an_output_error(self, home, monkeypatch):
        usual = Path.open

        def full(path: Path, mode: str = "r", **options: str) -> io.IOBase:
            if "x" in mode:
                raise OSError(28, "No space left on device")
            return usual(path, mode, **options)

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(OutputError, match="No space left on device"):
            download_model("yunjey", opener=opener(published("yunjey")))
        assert os.listdir(home) == []

    def test_home_that_cannot_be_made_is_told_before_anything_is_asked_for(self, home):
        home.touch()
        asked: list[str] = []
        with pytest.raises((OutputError, WeightsError), match="home"):
            download_model("yunjey", opener=opener(published("yunjey"), asked))
        assert asked == []

    def test_unknown_name_lists_the_published_ones(self):
        with pytest.raises(
            UnknownModelError, match=r"No published model is called .stackgan..*attngan-bird, attngan-coco"
        ):
            download_model("stackgan", opener=failing(AssertionError()))


# ------------------------------------------------------------------------------------------------- a real server


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answers: dict[str, tuple[int, dict[str, str], bytes]]

    def address(self, number: int) -> str:
        return f"http://127.0.0.1:{self.server_port}/{number}"

    def serve(self, number: int, content: bytes, status: int = 200, **headers: str) -> None:
        named = {"Content-Length": str(len(content))} | {key.replace("_", "-"): text for key, text in headers.items()}
        self.answers[f"/{number}"] = (status, named, content)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, content = self.server.answers[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A web server of this machine, which has all that is published in place of the real addresses."""
    for proxy in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(proxy, "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as running:
        running.answers = {}
        for name in MODELS:
            links = tuple(
                dataclasses.replace(link, url=running.address(number))
                for number, link in enumerate(PUBLISHED[name].links)
            )
            monkeypatch.setitem(PUBLISHED, name, dataclasses.replace(PUBLISHED[name], links=links))
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class TestServer:
    @pytest.fixture(autouse=True)
    def coco(self, server) -> None:
        for number, content in enumerate(published("attngan-coco").values()):
            server.serve(number, content)

    def refused(self, home: Path) -> str:
        with pytest.raises(DownloadError) as caught:
            download_model("attngan-coco")
        assert os.listdir(home) == []
        assert str(caught.value).endswith(MANUAL["attngan-coco"])
        return str(caught.value)

    def test_good_files(self, imported):
        download_model("attngan-coco")
        assert imported[0].files["dictionary"] == "captions.pickle"
        assert imported[0].sources["coco_AttnGAN2.pth"]["url"].startswith("http://127.0.0.1:")

    def test_redirection_is_followed(self, server, imported):
        server.serve(9, b"moved weights")
        server.serve(0, b"", 302, Location="/9")
        download_model("attngan-coco")
        assert imported[0].files["generator"] == "moved weights"

    @pytest.mark.parametrize("number", range(3))
    def test_web_page_with_status_200(self, server, home, number):
        server.serve(number, HTML, Content_Type="text/html")
        assert "a web page arrived instead of the file" in self.refused(home)

    @pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (403, "Forbidden"), (500, "Internal Server")])
    def test_error_of_the_server(self, server, home, status, reason):
        server.serve(1, HTML, status)
        assert f"coco.zip from {server.address(1)}: the server answered {status} {reason}" in self.refused(home)

    def test_truncated_file(self, server, home):
        server.serve(0, b"half of the weights", Content_Length="1000")
        assert "only 19 of 1000 bytes arrived" in self.refused(home)

    def test_broken_off_while_the_length_is_unknown(self, server, home):
        server.answers["/0"] = (200, {"Transfer-Encoding": "chunked"}, b"ff\r\nhalf")
        Handler.protocol_version = "HTTP/1.1"
        try:
            assert "there is no connection, or it broke (IncompleteRead" in self.refused(home)
        finally:
            Handler.protocol_version = "HTTP/1.0"

    def test_declared_too_large_is_refused_at_once(self, server, home):
        server.serve(0, b"begins", Content_Length=str(10**12))
        assert "more than 500000000 bytes" in self.refused(home)

    def test_wrong_zip(self, server, home):
        server.serve(2, zipped({"coco/train/filenames.pickle": b""}))
        assert "the zip does not contain captions.pickle; it contains coco/train/filenames.pickle" in self.refused(home)

    def test_no_server(self, server, home, monkeypatch):
        closed = Server(("127.0.0.1", 0), Handler)
        address = closed.address(0)
        closed.server_close()
        model = PUBLISHED["attngan-coco"]
        links = (dataclasses.replace(model.links[0], url=address), *model.links[1:])
        monkeypatch.setitem(PUBLISHED, "attngan-coco", dataclasses.replace(model, links=links))
        assert "there is no connection" in self.refused(home)


# ------------------------------------------------------------------------------------------------- from end to end


@pytest.fixture
def tiny_coco(server, shared) -> Path:
    """Serves small checkpoints in the form of torch 0.3 and Python 2 as attngan-coco; gives their folder."""
    golden = shared / "golden"
    words = {0: "<end>"} | {number: f"word{number}" for number in range(1, 40)}
    captions = [[[1, 2, 3]], [[4]], words, {word: number for number, word in words.items()}]
    server.serve(0, (golden / "legacy_py2_tiny_netG.pth").read_bytes())
    encoder = (golden / "legacy_py2_tiny_text_encoder.pth").read_bytes()
    server.serve(1, zipped({"coco/text_encoder100.pth": encoder}))
    server.serve(2, zipped({"coco/captions.pickle": pickle.dumps(captions, protocol=2)}))
    return golden


def run(capsys, *arguments: str) -> tuple[str, str]:
    """Standard output and error of a `telephonegan download` that must succeed."""
    assert main(["download", *arguments]) == 0
    return capsys.readouterr()


def complaint(capsys, *arguments: str) -> str:
    """What a `telephonegan download` says that must fail."""
    assert main(["download", *arguments]) == 2
    return capsys.readouterr().err


class TestEndToEnd:
    def test_published_files_become_models(self, server, tiny_coco, home, capsys):
        printed, _ = run(capsys, "attngan-coco")
        generator, text_encoder = catalogue.find("generator", "attngan-coco"), catalogue.find("damsm", "attngan-coco")
        for entry in (generator, text_encoder):
            assert f"{entry.kind}/attngan-coco: {entry.path}" in printed
            assert entry.settings["sources"]["captions.pickle"]["url"] == server.address(2)
        assert generator.settings["sources"]["coco_AttnGAN2.pth"] == {
            "url": server.address(0),
            "sha256": sha256(tiny_coco / "legacy_py2_tiny_netG.pth"),
        }
        expected = load_published(tiny_coco / "legacy_py2_tiny_netG.pth").state_dict()
        stored = store.read_tensors(generator)
        assert stored.keys() == expected.keys()
        assert all(stored[name].equal(expected[name]) for name in expected)
        assert store.read_vocabulary(text_encoder).words[3] == "word3"
        assert not [name for name in os.listdir(home) if name.startswith(".download")]

    def test_what_is_here_is_not_asked_for_again(self, server, tiny_coco, capsys):
        run(capsys, "attngan-coco")
        server.answers.clear()
        printed, told = run(capsys, "attngan-coco")
        assert "attngan-coco is already installed; --replace downloads it again." in told
        assert printed.count("attngan-coco: ") == 2

    def test_replace_asks_again(self, server, tiny_coco, capsys):
        first, _ = run(capsys, "attngan-coco")
        again, told = run(capsys, "attngan-coco", "--replace")
        assert again == first and "already" not in told
        server.serve(0, HTML)
        assert complaint(capsys, "attngan-coco", "--replace").endswith("--replace\n")
        assert store.read_tensors(catalogue.find("generator", "attngan-coco"))

    def test_half_a_model_is_told_before_anything_is_asked_for(self, tiny_coco, capsys):
        import torch

        store.register("damsm", "attngan-coco", {"a": torch.zeros(1)}, architecture="damsm", settings={})
        with pytest.raises(SettingsError, match=r"only damsm/attngan-coco is installed. Replace it \(--replace\)"):
            download_model("attngan-coco", opener=failing(AssertionError()))
        run(capsys, "attngan-coco", "--replace")
        assert catalogue.find("generator", "attngan-coco")

    def test_generator_of_another_network_is_refused(self, server, tiny_coco, home):
        server.serve(0, (tiny_coco / "legacy_py2_tiny_decoder.pkl").read_bytes())
        with pytest.raises(DownloadError, match=r": coco_AttnGAN2\.pth .*captioner decoder.*generator"):
            download_model("attngan-coco")
        assert os.listdir(home) == []

    def test_dictionary_that_asks_to_run_something_is_refused(self, server, tiny_coco, home):
        server.serve(2, zipped({"captions.pickle": pickle.dumps([os.getcwd, 1, 2, 3], protocol=2)}))
        with pytest.raises(DownloadError, match=r"captions\.pickle .*getcwd.*refused"):
            download_model("attngan-coco")
        assert os.listdir(home) == []


class TestCommand:
    def test_photographs_are_still_downloaded(self, monkeypatch, capsys):
        monkeypatch.setattr("telephonegan.samples.download_samples", lambda: [Path("a.jpg"), Path("b.jpg")])
        assert run(capsys, "coco-samples")[0] == "a.jpg\nb.jpg\n"

    def test_photographs_cannot_be_replaced(self, capsys):
        assert "--replace is for models" in complaint(capsys, "coco-samples", "--replace")

    def test_unknown_name_lists_what_there_is(self, capsys):
        with pytest.raises(SystemExit):
            run(capsys, "everything")
        said = capsys.readouterr().err
        assert all(name in said for name in ["coco-samples", *MODELS])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("title", ["weights", None])
def test_bytes_come_in_order_with_a_bar_where_there_is_a_title(title, monkeypatch):
    terminal, content = Terminal(), os.urandom(700_000)
    monkeypatch.setattr(sys, "stderr", terminal)
    chunks = [*received("a", limit=10**6, opener=opener({"a": content}), title=title)]
    assert len(chunks) > 1 and b"".join(chunks) == content
    assert "weights: 100%" in terminal.getvalue() if title else terminal.getvalue() == ""


def test_importing_loads_neither_torch_nor_a_network_library():
    code = "import sys, telephonegan.zoo.downloads; sys.exit(bool({'torch', 'urllib.request'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
