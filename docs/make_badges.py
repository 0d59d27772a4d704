"""Badges for Colab and Binder, and the address in the notebooks' first cells: python docs/make_badges.py

The address of the repository is `Repository` under [project.urls] in pyproject.toml, else that of git's remote origin.
It enters the README, notebooks/README.md and the first cell of every notebook; running this again changes nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from telephonegan.files import replace

ROOT = Path(__file__).resolve().parents[1]
BADGES = re.compile(r"<!-- badges -->.*?<!-- /badges -->", re.DOTALL)
ADDRESS = re.compile(r'^REPOSITORY = "[^"]*"', re.MULTILINE)
_UNKNOWN = (
    "The address of this repository is not known. Write it into pyproject.toml, then run `make badges` again:\n"
    '[project.urls]\nRepository = "https://github.com/OWNER/NAME"'
)


def main(root: Path = ROOT) -> None:
    address = repository(root)
    for path in (root / "README.md", root / "notebooks" / "README.md"):
        text = path.read_text(encoding="utf-8")
        replace(path, BADGES.sub(lambda _: f"<!-- badges -->{badges(address)}<!-- /badges -->", text).encode())
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        replace(path, with_address(path.read_text(encoding="utf-8"), address).encode())
    print(f"Badges and first cells lead to {address}")


def repository(root: Path) -> str:
    """The https address of the repository, without .git. Exits where there is none that others can reach."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = project.get("urls", {}).get("Repository", "")
    if not found:
        asked = subprocess.run(["git", "remote", "get-url", "origin"], cwd=root, capture_output=True, text=True)
        found = asked.stdout.strip()
    address = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", found).removesuffix(".git").rstrip("/")
    if urlsplit(address).scheme != "https" or len(urlsplit(address).path.strip("/").split("/")) != 2:
        raise SystemExit(_UNKNOWN)
    host, path = urlsplit(address).hostname, urlsplit(address).path  # without a name or token before the host
    return f"https://{host}{path}"


def badges(address: str, notebook: str = "notebooks/01_quickstart.ipynb") -> str:
    """Markdown that opens a notebook in Colab or Binder; those know repositories on GitHub only."""
    parts = urlsplit(address)
    if parts.hostname != "github.com":
        return ""
    colab = f"https://colab.research.google.com/github{parts.path}/blob/main/{notebook}"
    binder = f"https://mybinder.org/v2/gh{parts.path}/main?labpath={notebook.replace('/', '%2F')}"
    return f"[**Open in Colab**]({colab}) · [**Open in Binder**]({binder})"


def with_address(notebook: str, address: str) -> str:
    """The text of a notebook file whose first cell clones from this address; all else stays byte for byte."""
    escaped = json.dumps(f'REPOSITORY = "{address}"')[1:-1]
    return re.sub(r'REPOSITORY = \\"[^"\\]*\\"', lambda _: escaped, notebook)


if __name__ == "__main__":
    main()
