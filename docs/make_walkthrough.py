"""The notebooks, executed, as Markdown with pictures in docs/walkthrough: python docs/make_walkthrough.py [01 02 …]

GitHub shows these pages as a reader of a notebook would see it; the .ipynb files themselves stay without outputs. Where
neither the code of a notebook nor its weights have changed, the outputs of its page are kept and only the prose is
written anew, which takes no time. With --check nothing is written, and pages that are not current are named.
All pictures are painted by our models or come from the public-domain sample photographs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

from telephonegan.errors import printable_lines
from telephonegan.files import replace

ROOT = Path(__file__).resolve().parents[1]
PAGES, NOTEBOOKS = ROOT / "docs" / "walkthrough", ROOT / "notebooks"
SHOWN = ("01", "02", "03")  # 04 draws what the README shows, and 05 trains for minutes
WORLD = "flickr8k"  # whose weights these notebooks use
SECONDS = 1500  # for one cell, on a machine that does other things too
Keep = Callable[[bytes, str, str], str]
_PICTURES = {"image/png": "png", "image/jpeg": "jpg"}
_INLINE = re.compile(r'<img src="data:image/(png|jpeg);base64,([^"]+)" alt="([^"]*)"[^>]*>')


def main(arguments: list[str]) -> None:
    if arguments == ["--check"]:
        if outdated := [path.name for path in chosen(SHOWN) if not is_current(path)]:
            sys.exit(f"Not current in docs/walkthrough: {', '.join(outdated)}. Run: make walkthrough")
        return
    PAGES.mkdir(exist_ok=True)
    for path in chosen(tuple(arguments) or SHOWN):
        if kept := kept_outputs(path):
            print(f"{path.name}: prose only")
            replace(page_of(path), page(path, kept).encode())
        else:
            print(f"{path.name}: executing", flush=True)
            replace(page_of(path), page(path, outputs(path)).encode())


def chosen(numbers: tuple[str, ...]) -> list[Path]:
    return [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name.startswith(numbers)]


def page_of(notebook: Path) -> Path:
    return PAGES / f"{notebook.stem}.md"


def is_current(notebook: Path) -> bool:
    """Whether the page is what this notebook gives, with the outputs its code had with these weights."""
    kept = kept_outputs(notebook)
    return kept is not None and page_of(notebook).read_text(encoding="utf-8") == page(notebook, kept)


def page(notebook: Path, results: list[str]) -> str:
    """The Markdown of a notebook, with these outputs of its code cells."""
    parts = [
        f"<!-- {fingerprint(notebook)} made by `make walkthrough` from notebooks/{notebook.name}; do not edit -->",
        f"*[{notebook.name}](../../notebooks/{notebook.name}), executed. In the notebook the views react.*",
    ]
    left = iter(results)
    for cell in read(notebook).cells:
        if cell.cell_type == "markdown":
            parts.append(re.sub(r"\]\((\w+)\.ipynb\)", _link, cell.source))
        elif not is_set_up(cell):
            parts += [f"```python\n{cell.source}\n```", f"<!-- output -->\n{next(left)}\n<!-- /output -->"]
    return "\n\n".join(parts) + "\n"


def kept_outputs(notebook: Path) -> list[str] | None:
    """The outputs in the page, if it was made with the code and the weights there are now."""
    if not page_of(notebook).exists():
        return None
    text = page_of(notebook).read_text(encoding="utf-8")
    if fingerprint(notebook) not in text.partition("\n")[0]:
        return None
    return re.findall(r"<!-- output -->\n(.*?)\n<!-- /output -->", text, re.DOTALL)


def fingerprint(notebook: Path) -> str:
    """Of the code, and of the weights it runs with."""
    code = [cell.source for cell in read(notebook).cells if cell.cell_type == "code" and not is_set_up(cell)]
    models = json.loads((ROOT / "weights" / "manifest.json").read_text(encoding="utf-8"))["models"]
    weights = sorted(models[f"{kind}/{WORLD}"]["sha256"] for kind in ("captioner", "damsm", "generator", "judge"))
    return hashlib.sha256(json.dumps([code, weights]).encode()).hexdigest()[:16]


def read(notebook: Path) -> NotebookNode:
    return nbformat.read(notebook, as_version=4)


def is_set_up(cell: NotebookNode) -> bool:
    return cell.source.startswith("# @title Set-up")


def outputs(notebook: Path) -> list[str]:
    """Run a notebook; the Markdown of each code cell's outputs. Their pictures replace those of an earlier run."""
    pictures: dict[str, bytes] = {}

    def keep(content: bytes, suffix: str, alt: str) -> str:
        name = f"{notebook.stem}-{len(pictures):02}.{suffix}"
        pictures[name] = content
        return f"![{re.sub(r'[][]', '', ' '.join(alt.split()))}]({name})"

    with tempfile.TemporaryDirectory() as folder:
        write_kernel_spec(Path(folder) / "jupyter" / "kernels" / "this-python")
        os.environ["JUPYTER_PATH"] = str(Path(folder) / "jupyter")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        where = {"metadata": {"path": folder}}
        book = NotebookClient(read(notebook), timeout=SECONDS, kernel_name="this-python", resources=where).execute()
    cells = [cell for cell in book.cells if cell.cell_type == "code" and not is_set_up(cell)]
    told = ["\n\n".join(part for output in cell.outputs for part in _markdown(output, keep, cell)) for cell in cells]
    for old in PAGES.glob(f"{notebook.stem}-*"):
        old.unlink()
    for name, content in pictures.items():
        replace(PAGES / name, content)
    return told


def _link(found: re.Match[str]) -> str:
    name = found[1]
    return f"]({name}.md)" if name.startswith(SHOWN) else f"](../../notebooks/{name}.ipynb)"


def _markdown(output: NotebookNode, keep: Keep, cell: NotebookNode) -> Iterator[str]:
    if output.output_type == "stream":
        if output.name == "stdout":
            yield f"```\n{printable_lines(output.text).rstrip()}\n```"
        return
    data, about = output.data, output.get("metadata", {})
    for kind, suffix in _PICTURES.items():
        if kind in data:
            yield keep(base64.b64decode(data[kind]), suffix, about.get(kind, {}).get("alt") or _what_gives(cell))
            return
    if "text/html" in data:
        text = _INLINE.sub(lambda found: _kept_inline(found, keep), data["text/html"])
        yield re.sub(r"</?(figure|figcaption)>", "\n", text).strip()
    elif "text/markdown" in data or "text/plain" in data:
        yield data.get("text/markdown") or f"```\n{data['text/plain']}\n```"


def _what_gives(cell: NotebookNode) -> str:
    last = cell.source.splitlines()[-1].strip()
    return f"The figure that {last} gives" if "(" in last else "The figure of the cell above"


def _kept_inline(found: re.Match[str], keep: Keep) -> str:
    return keep(base64.b64decode(found[2]), found[1], unescape(found[3])) + "\n\n"


if __name__ == "__main__":
    main(sys.argv[1:])
