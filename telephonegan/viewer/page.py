"""One self-contained HTML file of a game: it needs no kernel and no network, and forbids itself to use one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from telephonegan.chains import Chain
from telephonegan.drift import Drift
from telephonegan.version import __version__
from telephonegan.viewer.data import described, games_data

SCRIPT, STYLE = (Path(__file__).parent / name for name in ("viewer.js", "viewer.css"))

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'">
<title>$title</title>
<style>
$style
</style>
</head>
<body class="tg-page">
<main>
<h1>$title</h1>
$how
<div id="viewer"></div>
<h2>All rounds</h2>
$rounds
</main>
<footer><p>Broken telephone between two neural networks, played with telephonegan $version. $models</p></footer>
<script type="application/json" id="data">$data</script>
<script type="module">
$script
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.body.classList.toggle("tg-dark", dark.matches);
dark.addEventListener("change", follow);
follow();
const data = JSON.parse(document.getElementById("data").textContent);
const pictures = [...document.querySelectorAll(".tg-rounds li")].map((item) => item.querySelector("img")?.src ?? null);
data.games.forEach((game) => game.rounds.forEach((round) => (round.picture = pictures.shift())));
mount(document.getElementById("viewer"), data);
</script>
</body>
</html>
""")


def game_page(*chains: Chain, drift: Drift | None = None) -> str:
    """Games as the text of an HTML file: a slider and Play, words kept, new and lost, attention, the drift of one game.

    All rounds stand below as pictures with alt texts, for readers without scripts. Several games are side by side.
    `drift` as in `games_data`. Raises SettingsError for a chain without rounds.

    >>> "<h1>" in game_page(chain)  # doctest: +SKIP
    True
    """
    titles = [f"seed {chain.seed}" for chain in chains] if len(chains) > 1 else []
    data = games_data(chains, drift=drift, titles=titles)
    urls = [[round_.pop("picture") for round_ in game["rounds"]] for game in data["games"]]
    return _PAGE.substitute(
        title=escape(f"Broken telephone: {' / '.join(dict.fromkeys(map(_start, chains)))}"),
        how="\n".join(f'<p class="tg-how">{escape(_how(chain))}</p>' for chain in chains),
        models=escape(" ".join(dict.fromkeys(map(_models, chains)))),
        rounds="\n".join(_rounds(chain, own) for chain, own in zip(chains, urls, strict=True)),
        data=_script_json(data),
        script=SCRIPT.read_text(encoding="utf-8"),
        style=STYLE.read_text(encoding="utf-8"),
        version=escape(__version__),
    )


def _rounds(chain: Chain, urls: Sequence[str | None]) -> str:
    items = "\n".join(_item(chain, index, url) for index, url in enumerate(urls))
    return f'<ol class="tg-rounds">\n{items}\n</ol>'


def _start(chain: Chain) -> str:
    return f"“{chain[0].caption}”"


def _how(chain: Chain) -> str:
    how = chain.settings
    start = chain.source_name or ("a sentence" if isinstance(chain.source, str) else "a picture")
    rounds = "1 round" if len(chain) == 2 else f"{len(chain) - 1} rounds"
    words = f"temperature {how.temperature:g}" if how.method == "sample" else how.method
    best = f", best of {how.candidates}" if how.candidates > 1 else ""
    return f"{rounds} from {start}, seed {chain.seed}, captions by {words}, noise scale {how.truncation:g}{best}."


def _models(chain: Chain) -> str:
    told = [f"{kind} {model['name']} ({model['sha256'][:12]})" for kind, model in chain.models.items()]
    return f"Models: {', '.join(told)}." if told else ""


def _item(chain: Chain, index: int, url: str | None) -> str:
    text, alt = escape(str(chain[index].caption)), escape(described(chain[index]))
    shown = f'<div class="tg-given">“{text}”</div>' if url is None else f'<img src="{url}" alt="{alt}">'
    return f"<li><figure>{shown}<figcaption><b>{index}</b> {text}</figcaption></figure></li>"


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
