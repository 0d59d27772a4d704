"""A widget for playing the game: a photograph or a sentence, a few settings, and the rounds as they are played."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import ipywidgets
from PIL import Image

from telephonegan.chains import SEED_POLICIES, Chain
from telephonegan.errors import ImageError, TelephoneganError, TextError
from telephonegan.images import as_image
from telephonegan.inference import SEEDS
from telephonegan.samples import samples
from telephonegan.widgets.explorer import MOST_SIDE_BY_SIDE, GameView
from telephonegan.widgets.frames import DescribedImage, card_png, picture_png
from telephonegan.widgets.messages import card_html, error_html, faint_html
from telephonegan.widgets.upload import LARGEST_UPLOAD, Upload, uploaded_image
from telephonegan.widgets.view import MAX_WIDTH, Stilled, parts_of
from telephonegan.zoo import catalogue
from telephonegan.zoo.worlds import worlds

MOST_ROUNDS, MOST_CANDIDATES = 24, 16
PHOTOGRAPH, SENTENCE = "a photograph", "a sentence"
OWN_MODELS = "own choice"
_PREVIEW = 152
_HINT = (
    "Temperature 0 takes the best caption; above it, words are sampled. "
    "Noise scale 0 gives each text one picture; above it, every seed gives a different one."
)
_NOISE = dict(zip(("new every round", "the same in all rounds"), SEED_POLICIES, strict=True))
_IDLE, _BUSY = "Play", "Stop"
_OTHER_PICTURE = "or another picture"


class Player(Protocol):
    """Anything that can play, such as a `Telephone`."""

    def play(self, image: Any = None, text: str | None = None, **options: Any) -> Chain:
        """Like `Telephone.play`, for one picture or text."""

    def fork(self, chain: Chain, at: int, **options: Any) -> Chain:
        """Like `Telephone.fork`."""


@dataclass(eq=False)
class Game:
    """One game of the history: its chain, who plays it, and what its button says."""

    chain: Chain
    phone: Player
    name: str


class Studio(Stilled, ipywidgets.VBox):
    """Controls of the game; rounds appear as they are played, and `games` holds every game since it was opened.

    `phone` plays; without one, a world is chosen here, or two models, which are loaded when first needed.
    `photographs`, names to anything `as_image` reads, are there to choose from (default: the samples of this machine);
    others can be uploaded. Stop, or Escape, keeps the rounds that are there. The buttons of the history show up to four
    games side by side, and a game can branch off at the round on display, with another seed, an edited caption or
    another picture. Errors of this library are shown in the widget; others too, and in the log.
    From code, set the values of the controls and call `play`, which returns when the game is over; `chain` is the last.

    >>> Studio(tg.load())  # doctest: +SKIP
    """

    def __init__(self, phone: Player | None = None, *, photographs: Mapping[str, Any] | None = None) -> None:
        self._phone = phone
        self._worlds = {} if phone is not None else {world.name: world for world in worlds()}
        self._photographs = dict(samples() if photographs is None else photographs)
        self.games: list[Game] = []
        self._stop, self._worker = threading.Event(), None
        self._make_start()
        self._make_rules()
        self._make_branch()
        self.button = ipywidgets.Button(description=_IDLE, icon="play", button_style="primary")
        self.dice = ipywidgets.Button(description="Dice", icon="random", tooltip="another seed, and play")
        self.progress = ipywidgets.IntProgress(0, max=1, description="ready", tooltip="progress")
        self.preview = DescribedImage(_PREVIEW, _PREVIEW)
        self.status = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="62px", max_width=MAX_WIDTH))
        self.history = ipywidgets.Box(layout=ipywidgets.Layout(flex_flow="row wrap", max_width=MAX_WIDTH))
        self.view = GameView([])
        self.view.on_escape = self.stop
        self.button.on_click(self._start_or_stop)
        self.dice.on_click(self._roll)
        super().__init__([self._controls(), self.status, self.history, self.view, self.branch_box])
        self.add_class("tg-studio")
        self._choose_start()

    @property
    def chain(self) -> Chain | None:
        """The last game that was played."""
        return self.games[-1].chain if self.games else None

    def play(self) -> Chain | None:
        """Play a game with the values of the controls; returns it when it is over or stopped, None if it failed."""
        return self._run(self._play)

    def branch(self) -> Chain | None:
        """Branch off the first game on display, at the round on display; returns the branch as `play` does."""
        return self._run(self._fork)

    def stop(self) -> None:
        """End the game that is being played after the round at work; its rounds are kept."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Return when the game that a button began is over, or after so many seconds."""
        if self._worker is not None:
            self._worker.join(seconds)

    def still(self) -> tuple[Image.Image, str] | None:
        """That of the games on display."""
        return self.view.still()

    def close(self) -> None:
        """Close the widget and discard uploaded photographs; `games` are kept."""
        self.stop()
        self._photographs.clear()
        self._edited_picture = None
        if self.comm is not None:
            for part in parts_of(self):
                part.close()
            super().close()

    # ------------------------------------------------------------------------------------------------- controls

    def _make_start(self) -> None:
        self.start = ipywidgets.Dropdown(options=[PHOTOGRAPH, SENTENCE], description="start from")
        self.photograph = ipywidgets.Dropdown(options=list(self._photographs), description="photograph")
        self.upload = Upload(f"or your own, up to {LARGEST_UPLOAD // 1_000_000} MB", self._take_photograph)
        self.sentence = ipywidgets.Combobox(placeholder="a dog runs in the snow", description="sentence")
        self.start.observe(self._choose_start, "value")
        self.photograph.observe(self._preview, "value")

    def _make_rules(self) -> None:
        self.world = ipywidgets.Dropdown(options=[*self._worlds, OWN_MODELS], description="world")
        names = {kind: _names(kind) if self._worlds else [] for kind in ("captioner", "generator")}
        self.captioner, self.generator = (
            ipywidgets.Dropdown(options=known, description=kind) for kind, known in names.items()
        )
        self.rounds = ipywidgets.IntSlider(8, min=1, max=MOST_ROUNDS, description="rounds")
        self.seed = ipywidgets.BoundedIntText(0, min=0, max=SEEDS - 1, description="seed")
        self.temperature = ipywidgets.FloatSlider(0, min=0, max=2, step=0.1, description="temperature")
        self.noise_scale = ipywidgets.FloatSlider(1, min=0, max=2, step=0.1, description="noise scale")
        self.noise = ipywidgets.Dropdown(options=_NOISE, description="noise")
        self.candidates = ipywidgets.IntSlider(1, min=1, max=MOST_CANDIDATES, description="best of")
        self.candidates.tooltip = "so many paintings of each caption, of which the one that fits it best is kept"
        _show([self.captioner, self.generator], False)
        _show([self.world], bool(self._worlds))
        self.world.observe(self._choose_world, "value")

    def _make_branch(self) -> None:
        self._edited_picture: Image.Image | None = None
        self.branch_seed = ipywidgets.BoundedIntText(1, min=0, max=SEEDS - 1, description="seed")
        self.branch_caption = ipywidgets.Text(placeholder="as it is", description="caption")
        self.branch_upload = Upload(_OTHER_PICTURE, self._take_edited_picture)
        self.branch_upload.layout.flex = "0 0 auto"
        self.branch_button = ipywidgets.Button(description="Branch off", icon="code-fork")
        self.branch_button.on_click(lambda _: self._begin(self.branch))
        self.branch_seed.layout.flex, self.branch_caption.layout.flex = "0 1 220px", "1 1 220px"
        self.branch_caption.layout.min_width = "0"  # or it would be wider than a phone
        told = ipywidgets.HTML(card_html("Branch off at the round on display, with another seed, caption or picture:"))
        parts = [self.branch_seed, self.branch_caption, self.branch_upload, self.branch_button]
        wrapped = ipywidgets.Layout(flex_flow="row wrap", grid_gap="4px 8px", align_items="center")
        self.branch_box = ipywidgets.VBox([told, ipywidgets.Box(parts, layout=wrapped)])
        self.branch_box.layout.max_width = MAX_WIDTH
        _show([self.branch_box], False)

    @property
    def settings(self) -> Sequence[Any]:
        """The controls, which are disabled while a game runs."""
        start = (self.start, self.photograph, self.upload, self.sentence, self.world, self.captioner, self.generator)
        rules = (self.rounds, self.seed, self.temperature, self.noise_scale, self.noise, self.candidates, self.dice)
        return *start, *rules, self.branch_seed, self.branch_caption, self.branch_upload, self.branch_button

    def _controls(self) -> ipywidgets.Box:
        for control in (*self.settings, self.progress):
            if isinstance(control, ipywidgets.Button | Upload):
                continue
            control.style.description_width = "84px"
            control.layout.width, control.layout.max_width = "auto", "360px"  # 100 % would add its margins
            _give_tooltip(control)
        start = [self.start, self.photograph, self.upload, self.sentence, self.world, self.captioner, self.generator]
        rules = [self.rounds, self.seed, self.candidates, self.noise]
        play = [self.temperature, self.noise_scale, ipywidgets.HBox([self.button, self.dice]), self.progress]
        # Two pairs of columns, so that where one has no room, none of the three stands alone on a line.
        pairs = [
            _wrapped([self.preview, _column(start)], flex="0 1 434px"),
            _wrapped([_column(rules), _column(play)], flex="1 1 556px"),
        ]
        return _wrapped(pairs, max_width=MAX_WIDTH)

    def _choose_start(self, _: Any = None) -> None:
        from_photograph = self.start.value == PHOTOGRAPH
        _show([self.preview, self.photograph, self.upload], from_photograph)
        _show([self.sentence], not from_photograph)
        self._offer_examples()
        self._preview()

    def _choose_world(self, _: Any) -> None:
        is_own = self.world.value == OWN_MODELS
        _show([self.captioner, self.generator], is_own)
        self._offer_examples()
        knows = "" if is_own else self._worlds[self.world.value].knows
        self._say(f"{self.world.value} knows {knows}. All else is said and painted in those words." if knows else _HINT)

    def _offer_examples(self) -> None:
        world = self._worlds.get(self.world.value)
        self.sentence.options = world.examples if world else ()

    def _preview(self, _: Any = None) -> None:
        if self.start.value == SENTENCE:
            self._say("Write a sentence, or choose one of the examples. Round 0 is that sentence; round 1 paints it.")
            return
        name = self.photograph.value
        if name is None:
            self.preview.show(card_png("no photograph", _PREVIEW), "No photograph yet")
            self._say("There are no sample photographs on this machine. Upload one of yours.")
            return
        self.preview.show(card_png("cannot be shown", _PREVIEW), f"The photograph {name} cannot be shown")
        with self._reported():
            self.preview.show(picture_png(as_image(self._photographs[name]), _PREVIEW), f"The photograph {name}")
            self._say(_HINT)

    def _take_photograph(self, name: str, size: int, content: bytes) -> None:
        with self._reported():
            self._photographs[name] = uploaded_image(name, size, content)
            self._offer(name)

    def _take_edited_picture(self, name: str, size: int, content: bytes) -> None:
        with self._reported():
            self._edited_picture = uploaded_image(name, size, content)
            self.branch_upload.label = f"with {name}"

    def _offer(self, name: str) -> None:
        """Offer all current photographs, with this one selected."""
        self.photograph.unobserve(self._preview, "value")
        with self.photograph.hold_sync():
            self.photograph.options = list(self._photographs)
            self.photograph.value = name
        self.photograph.observe(self._preview, "value")
        self._preview()

    # --------------------------------------------------------------------------------------------------- playing

    def _start_or_stop(self, _: ipywidgets.Button) -> None:
        if self._is_busy:
            self.stop()
        else:
            self._begin(self.play)

    def _roll(self, _: ipywidgets.Button) -> None:
        self.seed.value = random.randrange(1000)  # short enough to remember
        self._begin(self.play)

    def _begin(self, what: Callable[[], Any]) -> None:
        """Play in a thread of its own, so that the kernel can hear Stop meanwhile."""
        if not self._is_busy:
            self._worker = threading.Thread(target=what, daemon=True)
            self._worker.start()

    @property
    def _is_busy(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    def _run(self, game: Callable[[], Chain]) -> Chain | None:
        self._stop.clear()
        with self._busy(), self._reported():
            self._say("The models are at work.")
            try:
                game()
            except (_Stopped, KeyboardInterrupt) as error:
                self._say("Stopped. The rounds that were played are kept.")
                if isinstance(error, KeyboardInterrupt):
                    raise
            else:
                self._say(self._account(self.games[-1]))
            return self.chain
        return None

    def _play(self) -> None:
        from_sentence = self.start.value == SENTENCE
        if from_sentence and not self.sentence.value.strip():
            raise TextError("There is no sentence to start from. Write one.")
        if not from_sentence and self.photograph.value is None:
            raise ImageError("There is no photograph to start from. Upload one.")
        start = self.sentence.value.strip() if from_sentence else self.photograph.value
        source = {"text": start} if from_sentence else {"image": self._photographs[start]}
        phone, temperature = self._player(), self.temperature.value
        phone.play(
            **source,
            rounds=self.rounds.value,
            seed=self.seed.value,
            truncation=self.noise_scale.value,
            candidates=self.candidates.value,
            seed_policy=self.noise.value,
            progress=False,
            on_round=self._follower(phone, f"{start} · seed {self.seed.value}"),
            **({"method": "sample", "temperature": temperature} if temperature else {}),
        )

    def _fork(self) -> None:
        parent = self._shown_games()[0]
        at, seed = min(self.view.round, len(parent.chain) - 1), self.branch_seed.value
        text, picture = self.branch_caption.value.strip(), self._edited_picture
        edits = ({"caption": text} if text else {}) | ({"image": picture} if picture is not None else {})
        what = f"“{text}”" if text else "another picture" if edits else ""
        name = " · ".join(filter(None, (f"{parent.name} ▸ {at}", what, f"seed {seed}")))
        follow = self._follower(parent.phone, name, beside=[parent])
        parent.phone.fork(parent.chain, at, seed=seed, **edits, progress=False, on_round=follow)

    def _player(self) -> Player:
        if self._phone is not None:
            return self._phone
        from telephonegan.telephone import load

        if self.world.value == OWN_MODELS:
            return load(self.captioner.value, self.generator.value)
        return load(world=self.world.value)

    def _follower(self, phone: Player, name: str, beside: Sequence[Game] = ()) -> Callable[[Chain], None]:
        """A function that shows a game beside these others while it grows, and ends it when that is wanted."""

        def follow(chain: Chain) -> None:
            if self.chain is chain:
                self._display(self._shown_games())
            else:
                self._remember(Game(chain, phone, name), beside)
            self.progress.value, self.progress.description = len(chain), f"round {len(chain) - 1}"
            if self._stop.is_set() and not chain.is_complete:
                raise _Stopped

        return follow

    # --------------------------------------------------------------------------------------------------- history

    def _remember(self, game: Game, beside: Sequence[Game]) -> None:
        self.games.append(game)
        button = ipywidgets.ToggleButton(
            description=f"{len(self.games)} · {game.name}",
            tooltip=f"show game {len(self.games)}",
            layout=ipywidgets.Layout(width="auto", max_width="100%"),
        )
        button.observe(partial(self._toggle, game), "value")
        self.history.children = [*self.history.children, button]
        self._display([*beside, game])

    def _shown_games(self) -> list[Game]:
        return [game for game in self.games if any(game.chain is chain for chain in self.view.chains)]

    def _display(self, games: Sequence[Game]) -> None:
        """Show these games, and press their buttons."""
        self.view.show_games(
            [game.chain for game in games],
            titles=[game.name if len(games) > 1 else "" for game in games],
            follow=True,
        )
        for game, button in zip(self.games, self.history.children, strict=True):
            button.unobserve_all("value")
            button.value = game in games
            button.observe(partial(self._toggle, game), "value")
        _show([self.branch_box], bool(games))

    def _toggle(self, game: Game, change: Mapping[str, Any]) -> None:
        others = [each for each in self._shown_games() if each is not game]
        wanted = [*others, game] if change["new"] else others
        wanted = wanted[-MOST_SIDE_BY_SIDE:] or [game]
        self._display([each for each in self.games if each in wanted])

    def _account(self, game: Game) -> str:
        chain, how = game.chain, game.chain.settings
        rounds = "1 round" if len(chain) == 2 else f"{len(chain) - 1} rounds"
        models = list(dict.fromkeys(model["name"] for model in chain.models.values()))
        parts = [
            f"{game.name}: {rounds}",
            f"by {' and '.join(models)}" if models else "",
            f"temperature {how.temperature:g}" if how.method == "sample" else "the best captions",
            f"noise scale {how.truncation:g}",
            f"best of {how.candidates}" if how.candidates > 1 else "",
            "the same noise in all rounds" if how.seed_policy == "fixed" else "",
        ]
        early = "" if chain.is_complete else " The chain ended early: the last caption has no word that can be painted."
        return f"{', '.join(filter(None, parts))}.{early}"

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self.progress.value, self.progress.max = 0, self.rounds.value + 1
        try:
            for control in self.settings:
                control.disabled = True
            self.button.description, self.button.icon, self.button.button_style = _BUSY, "stop", "danger"
            yield
        finally:
            for control in self.settings:
                control.disabled = False
            self.button.description, self.button.icon, self.button.button_style = _IDLE, "play", "primary"
            self.progress.value, self.progress.description = 0, "ready"

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except TelephoneganError as error:
            self.status.value = error_html(str(error))
        except Exception as error:
            logging.getLogger(__name__).exception("in the studio")
            self.status.value = error_html(f"Unexpected: {type(error).__name__}: {error}")

    def _say(self, text: str) -> None:
        self.status.value = card_html(faint_html(text))


class _Stopped(Exception):
    """The user wants no further round; not an error, and never seen outside."""


def _column(controls: Sequence[ipywidgets.Widget]) -> ipywidgets.VBox:
    return ipywidgets.VBox(controls, layout={"flex": "1 1 274px", "min_width": "250px", "max_width": "364px"})


def _wrapped(boxes: Sequence[ipywidgets.Widget], **layout: str) -> ipywidgets.Box:
    return ipywidgets.Box(boxes, layout={"flex_flow": "row wrap", "grid_gap": "8px", **layout})


def _show(widgets: Sequence[Any], visible: bool) -> None:
    for widget in widgets:
        widget.layout.display = None if visible else "none"


def _names(kind: str) -> list[str]:
    return sorted({entry.name for entry in catalogue.entries() if entry.kind == kind})


def _give_tooltip(control: ipywidgets.Widget) -> None:
    """Without a tooltip the browser shows “null” over the label; most controls of ipywidgets 7 do not know the word."""
    if not getattr(control, "tooltip", ""):
        control.tooltip = control.description
