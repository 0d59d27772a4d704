"""One place holds the address of the repository; `make badges` carries it everywhere else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from docs import make_badges

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/somebody/telephone"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that badges enter, in a repository without a remote."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("results"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def remote(checkout: Path, address: str) -> None:
    subprocess.run(["git", "remote", "add", "origin", address], cwd=checkout, check=True)


def test_without_an_address_the_one_thing_to_do_is_said(checkout):
    with pytest.raises(SystemExit, match=r"\[project.urls\]"):
        make_badges.main(checkout)


@pytest.mark.parametrize("origin", [
    ADDRESS,
    f"{ADDRESS}.git",
    "git@github.com:somebody/telephone.git",
    "ssh://git@github.com/somebody/telephone",
    "https://somebody:secret@github.com/somebody/telephone.git",
])  # fmt: skip
def test_the_address_of_the_remote_is_used_and_no_secret_in_it(checkout, origin):
    remote(checkout, origin)
    assert make_badges.repository(checkout) == ADDRESS


def test_a_remote_on_this_machine_is_no_address(checkout):
    remote(checkout, "/srv/git/telephone")
    with pytest.raises(SystemExit, match="make badges"):
        make_badges.repository(checkout)


def test_project_urls_come_first(checkout):
    remote(checkout, "https://github.com/other/fork")
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text() + f'\n[project.urls]\nRepository = "{ADDRESS}"\n')
    assert make_badges.repository(checkout) == ADDRESS


def test_readmes_and_first_cells_get_the_address_and_nothing_else_changes(checkout):
    remote(checkout, ADDRESS)
    notebooks = sorted((checkout / "notebooks").glob("*.ipynb"))
    before = {path: path.read_text() for path in notebooks}
    make_badges.main(checkout)
    for path in notebooks:
        assert f'REPOSITORY = "{ADDRESS}"' in nbformat.read(path, as_version=4).cells[1].source
        assert len(path.read_text()) == len(before[path]) + len(ADDRESS)
    readme = (checkout / "README.md").read_text()
    assert "colab.research.google.com/github/somebody/telephone/blob/main/notebooks/01_quickstart.ipynb" in readme
    assert "mybinder.org/v2/gh/somebody/telephone/main" in (checkout / "notebooks" / "README.md").read_text()
    make_badges.main(checkout)
    assert (checkout / "README.md").read_text() == readme
