"""Sample photographs: which there are, and how the COCO ones are downloaded."""

from __future__ import annotations

import doctest
import json
import os
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.response import addinfourl

import numpy as np
import pytest
from PIL import Image

from telephonegan import samples as samples_module
from telephonegan.errors import DataError, DownloadError, ImageError, OutputError
from telephonegan.samples import download_samples, sample, samples


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    stream = BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


def gradient() -> Image.Image:
    return Image.fromarray(np.indices((30, 40)).sum(axis=0).astype(np.uint8)).convert("RGB")


class TestSamples:
    def test_photographs_of_the_wheel_are_there_and_open(self, tmp_path, monkeypatch):
        monkeypatch.setattr(samples_module, "COCO_SAMPLES", tmp_path)
        names = list(samples())
        assert names == ["astronaut", "camera", "chelsea", "coffee", "coins", "motorcycle", "rocket"]
        for name in names:
            assert sample(name).width >= 300

    def test_pictures_of_the_folder_are_listed_and_other_files_not(self, tmp_path, monkeypatch):
        monkeypatch.setattr(samples_module, "COCO_SAMPLES", tmp_path)
        for name in ["000000000001.jpg", "bear.PNG", ".hidden.jpg", "coffee.png"]:
            (tmp_path / name).write_bytes(encoded(gradient()))
        (tmp_path / "README.md").touch()
        found = samples()
        assert list(found) == sorted(found)
        assert {name for name, path in found.items() if path.parent == tmp_path} == {
            "000000000001",
            "bear",
            "coffee.png",
        }
        assert sample("bear").size == (40, 30)
        assert found["coffee"].parent != tmp_path

    @pytest.mark.parametrize("name", ["chelsey", "", None, ["chelsea"]])
    def test_unknown_name_lists_the_names(self, name):
        with pytest.raises(ImageError, match=r"no sample photograph .*astronaut, .*chelsea"):
            sample(name)

    def test_without_folder_or_scikit_image_there_are_none(self, tmp_path, monkeypatch):
        monkeypatch.setattr(samples_module, "COCO_SAMPLES", tmp_path / "absent")
        monkeypatch.setattr(samples_module.importlib.util, "find_spec", lambda name: None)
        assert samples() == {}
        with pytest.raises(ImageError, match="none, as scikit-image is not installed"):
            sample("chelsea")


class TestManifest:
    def test_addresses_names_and_numbers_agree(self):
        listed = json.loads((samples_module.COCO_SAMPLES / "manifest.json").read_text())
        assert len({entry["id"] for entry in listed}) == len(listed) >= 10
        for entry in listed:
            assert entry["file_name"] == f"{entry['id']:012d}.jpg"
            assert entry["coco_url"] == f"http://images.cocodataset.org/val2017/{entry['file_name']}"
            assert entry["subject"]
            assert entry["license"]
            assert entry["photographer"]


class TestDownload:
    listed = json.loads((samples_module.COCO_SAMPLES / "manifest.json").read_text())
    names = tuple(entry["file_name"] for entry in listed)
    photograph = encoded(gradient(), "JPEG")

    def opener(self, asked: list[str], content: bytes | None = None, fail_after: int = 10**6, error=None):
        def opened(url: str, timeout: float) -> addinfourl:
            if len(asked) == fail_after:
                raise error
            assert 0 < timeout <= 60
            asked.append(url)
            return addinfourl(BytesIO(self.photograph if content is None else content), {}, url)

        return opened

    def test_every_listed_photograph_arrives_and_nothing_else(self, tmp_path):
        asked = []
        paths = download_samples(tmp_path / "new" / "photos", opener=self.opener(asked))
        assert [path.name for path in paths] == list(self.names)
        assert [url.rpartition("/")[2] for url in asked] == list(self.names)
        assert sorted(os.listdir(tmp_path / "new" / "photos")) == sorted(self.names)
        assert all(path.read_bytes() == self.photograph for path in paths)

    def test_default_folder_is_where_samples_looks(self, tmp_path, monkeypatch):
        (tmp_path / "manifest.json").write_bytes((samples_module.COCO_SAMPLES / "manifest.json").read_bytes())
        monkeypatch.setattr(samples_module, "COCO_SAMPLES", tmp_path)
        download_samples(opener=self.opener([]))
        assert Path(self.names[0]).stem in samples()

    def test_an_installed_library_keeps_them_in_the_users_folder(self, tmp_path, monkeypatch):
        packed = tmp_path / "site-packages" / "coco_samples"
        packed.mkdir(parents=True)
        (packed / "manifest.json").write_bytes((samples_module.COCO_SAMPLES / "manifest.json").read_bytes())
        monkeypatch.setattr(samples_module, "COCO_SAMPLES", packed)
        monkeypatch.setattr(samples_module, "_PACKED", packed)
        monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
        paths = download_samples(opener=self.opener([]))
        assert {path.parent for path in paths} == {tmp_path / "home" / "coco_samples"}
        assert samples()[paths[0].stem] == paths[0]
        assert os.listdir(packed) == ["manifest.json"]

    def test_what_is_there_is_kept_and_not_asked_for(self, tmp_path):
        mine = encoded(Image.new("RGB", (3, 3), "red"))
        (tmp_path / self.names[0]).write_bytes(mine)
        asked = []
        download_samples(tmp_path, opener=self.opener(asked))
        assert (tmp_path / self.names[0]).read_bytes() == mine
        assert len(asked) == len(self.names) - 1
        assert len(download_samples(tmp_path, opener=self.opener(asked, fail_after=len(asked)))) == len(self.names)

    def test_damaged_file_in_the_way_is_not_overwritten(self, tmp_path):
        (tmp_path / self.names[1]).write_bytes(b"my notes")
        asked = []
        with pytest.raises(DownloadError, match=rf"{self.names[1]} is in the way.*Nothing was downloaded"):
            download_samples(tmp_path, opener=self.opener(asked))
        assert (tmp_path / self.names[1]).read_bytes() == b"my notes"
        assert asked == []

    @pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Sign in</html>", b"", photograph[:200]])
    def test_what_is_no_picture_is_refused_and_not_kept(self, tmp_path, content):
        with pytest.raises(DownloadError, match="what arrived is not a picture; it begins with"):
            download_samples(tmp_path, opener=self.opener([], content))
        assert os.listdir(tmp_path) == []

    def test_endless_answer_is_cut(self, tmp_path, monkeypatch):
        monkeypatch.setattr(samples_module, "_DOWNLOAD_BYTES", 100)
        with pytest.raises(DownloadError, match="more than 100 bytes"):
            download_samples(tmp_path, opener=self.opener([]))

    @pytest.mark.parametrize("error", [URLError("Name or service not known"), TimeoutError("timed out")])
    def test_without_network_nothing_is_made_and_the_way_by_hand_is_told(self, tmp_path, error):
        folder = tmp_path / "photos"
        with pytest.raises(DownloadError) as caught:
            download_samples(folder, opener=self.opener([], fail_after=0, error=error))
        message = str(caught.value)
        for words in [
            f"{self.names[0]} was not downloaded",
            "there is no connection",
            "save http://images.cocodataset.org/val2017/",
            f"0 of the {len(self.names)} photographs are in {folder}",
            "nothing else was changed",
            f"by hand as {folder / self.names[0]}",
        ]:
            assert words in message
        assert not folder.exists()

    def test_network_lost_on_the_way_keeps_what_arrived(self, tmp_path):
        opener = self.opener([], fail_after=2, error=ConnectionResetError("reset by peer"))
        with pytest.raises(DownloadError, match=rf"{self.names[2]} was not downloaded.*\b2 of the"):
            download_samples(tmp_path, opener=opener)
        assert sorted(os.listdir(tmp_path)) == sorted(self.names[:2])

    def test_answer_of_the_server_is_passed_on(self, tmp_path):
        error = HTTPError("http://images.cocodataset.org", 403, "Forbidden", {}, BytesIO())
        with pytest.raises(DownloadError, match="server answered 403 Forbidden"):
            download_samples(tmp_path, opener=self.opener([], fail_after=0, error=error))

    def test_folder_that_cannot_be_made_is_an_output_error(self, tmp_path):
        (tmp_path / "photos").touch()
        with pytest.raises(OutputError, match="photos already exists"):
            download_samples(tmp_path / "photos", opener=self.opener([]))

    def test_failed_write_leaves_no_half_file(self, tmp_path, monkeypatch):
        def broken(source, target):
            raise OSError("disk full")

        monkeypatch.setattr(samples_module.os, "replace", broken)
        with pytest.raises(OutputError, match="disk full"):
            download_samples(tmp_path, opener=self.opener([]))
        assert os.listdir(tmp_path) == []

    def test_missing_manifest_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setattr(samples_module, "COCO_SAMPLES", tmp_path)
        with pytest.raises(DataError, match=r"manifest\.json is missing.*Install"):
            download_samples(tmp_path, opener=self.opener([]))


def test_examples_in_the_docstrings_hold():
    results = doctest.testmod(samples_module)
    assert results.attempted >= 2
    assert results.failed == 0
