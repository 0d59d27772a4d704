"""The published pages are those that the notebooks give."""

from __future__ import annotations

import re

import pytest

from docs import make_walkthrough

notebooks = make_walkthrough.chosen(make_walkthrough.SHOWN)
every_page = pytest.mark.parametrize("notebook", notebooks, ids=lambda path: path.stem)


@every_page
def test_the_page_is_current(notebook):
    assert make_walkthrough.is_current(notebook), "run: make walkthrough"


@every_page
def test_pictures_of_the_page_are_there_and_described(notebook):
    found = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", make_walkthrough.page_of(notebook).read_text(encoding="utf-8"))
    assert found
    assert [name for _, name in found if not (make_walkthrough.PAGES / name).is_file()] == []
    assert [name for alt, name in found if not alt] == []


def test_another_code_or_other_weights_need_another_run(tmp_path, monkeypatch):
    [notebook, *_] = notebooks
    before = make_walkthrough.fingerprint(notebook)
    changed = tmp_path / notebook.name
    changed.write_text(notebook.read_text().replace("progress=False", "progress=True", 1))
    assert make_walkthrough.fingerprint(changed) != before
    weights = make_walkthrough.ROOT / "weights" / "manifest.json"
    (tmp_path / "weights").mkdir()
    own = re.search(r'"generator/flickr8k".*?"sha256": "(\w+)"', weights.read_text(), re.DOTALL)[1]
    (tmp_path / "weights" / "manifest.json").write_text(weights.read_text().replace(own, 64 * "0"))
    monkeypatch.setattr(make_walkthrough, "ROOT", tmp_path)
    assert make_walkthrough.fingerprint(notebook) != before
