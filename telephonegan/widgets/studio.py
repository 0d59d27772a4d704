"""A widget for playing the game: a photograph, a few settings, a button, and the rounds in an explorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import ipywidgets
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.errors import ImageError, TelephoneganError
from telephonegan.images import PICTURE_SUFFIXES, as_image, working_image
from telephonegan.inference import SEEDS
from telephonegan.samples import samples
from telephonegan.widgets.caption_html import card_html, error_html, faint_html
from telephonegan.widgets.explorer import ChainExplorer
from telephonegan.widgets.frames import DescribedImage, card_png, picture_png
from telephonegan.widgets.view import MAX_WIDTH, View
from telephonegan.zoo.worlds import worlds

MOST_ROUNDS = 24
LARGEST_UPLOAD = 9_000_000  # bytes; a notebook server silently drops messages of more than 10 MiB
_PREVIEW = 176
_HINT = (
    "Temperature 0 takes the best caption; above it, words are sampled. "
    "Noise scale 0 gives each text one picture; above it, every seed gives a different one."
)
_IDLE, _BUSY = "Play", "Playing …"
_ROOMY = {"description_width": "100px"}


class Player(Protocol):
    """Anything that can play, such as a `Telephone`."""

    def play(self, image: Any, **options: Any) -> Chain:
        """Like `Telephone.play`, for one picture."""


class Studio(View):
    """Controls of the game; each result opens in a `ChainExplorer`, and the last one is `chain`.

    `phone` plays; without one, a world is chosen here, and its models are loaded when first needed. `photographs`,
    names to anything `as_image` reads, are there to choose from (default: the samples of this machine); others can be
    uploaded. While it plays the controls are disabled. Errors of this library are shown in the widget; others too, and
    then raised again. From code, set the values of the controls and call `button.click()`.

    >>> Studio(tg.load())  # doctest: +SKIP
    """

    def __init__(self, phone: Player | None = None, *, photographs: Mapping[str, Any] | None = None) -> None:
        self._phone = phone
        self._worlds = {} if phone is not None else {world.name: world for world in worlds()}
        self._photographs = dict(samples() if photographs is None else photographs)
        self.chain: Chain | None = None
        self._unfinished: Chain | None = None
        self.photograph = ipywidgets.Dropdown(options=list(self._photographs), description="photograph")
        self.world = ipywidgets.Dropdown(options=list(self._worlds), description="world")
        self.world.layout.display = None if self._worlds else "none"
        limit = f"or your own, up to {LARGEST_UPLOAD // 1_000_000} MB"
        accepted, wide = ",".join(PICTURE_SUFFIXES), ipywidgets.Layout(width="auto")
        self.upload = ipywidgets.FileUpload(accept=accepted, description=limit, layout=wide)
        self.rounds = ipywidgets.IntSlider(8, min=1, max=MOST_ROUNDS, description="rounds")
        self.seed = ipywidgets.BoundedIntText(0, min=0, max=SEEDS - 1, description="seed")
        self.temperature = ipywidgets.FloatSlider(0, min=0, max=2, step=0.1, description="temperature", style=_ROOMY)
        self.noise_scale = ipywidgets.FloatSlider(1, min=0, max=2, step=0.1, description="noise scale", style=_ROOMY)
        self.button = ipywidgets.Button(description=_IDLE, icon="play", button_style="primary")
        self.progress = ipywidgets.IntProgress(0, max=1, description="ready", tooltip="progress", style=_ROOMY)
        self.preview = DescribedImage(_PREVIEW, _PREVIEW)
        self.status = ipywidgets.HTML(layout=ipywidgets.Layout(height="72px", overflow="auto", max_width=MAX_WIDTH))
        self.result = ipywidgets.VBox()
        self.photograph.observe(self._preview, "value")
        self.upload.observe(self._take_upload, "value")
        self.world.observe(self._describe_world, "value")
        self.button.on_click(self._play)
        super().__init__([self._controls(), self.status, self.result])
        self._preview()

    def still(self) -> tuple[Image.Image, str] | None:
        """The explorer's, once there is one."""
        explorers = self.result.children
        return explorers[0].still() if explorers else None

    def close(self) -> None:
        """Close the widget and discard uploaded photographs; `chain` is kept."""
        self._photographs.clear()
        super().close()

    def _controls(self) -> ipywidgets.Box:
        for control in (self.photograph, self.world, self.rounds, self.seed, self.temperature, self.noise_scale):
            control.tooltip = control.description  # without one the browser shows “null” over the label
        columns = [
            ipywidgets.VBox([self.photograph, self.upload, self.world, self.rounds, self.seed]),
            ipywidgets.VBox([self.temperature, self.noise_scale, self.button, self.progress]),
        ]
        return ipywidgets.Box([self.preview, *columns], layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="8px"))

    def _preview(self, _: Any = None) -> None:
        name = self.photograph.value
        if name is None:
            self.preview.show(card_png("no photograph", _PREVIEW), "No photograph yet")
            self._say("There are no sample photographs on this machine. Upload one of yours.")
            return
        self.preview.show(card_png("cannot be shown", _PREVIEW), f"The photograph {name} cannot be shown")
        with self._told():
            self.preview.show(picture_png(as_image(self._photographs[name]), _PREVIEW), f"The photograph {name}")
            self._say(_HINT)

    def _describe_world(self, change: Mapping[str, Any]) -> None:
        knows = self._worlds[change["new"]].knows
        self._say(f"{change['new']} knows {knows}. All else is said and painted in those words." if knows else _HINT)

    def _take_upload(self, change: Mapping[str, Any]) -> None:
        if not change["new"]:
            return
        with self._told():
            name = change["new"][0]["name"]
            self._photographs[name] = uploaded_image(change["new"][0])
            self._offer(name)
        self.upload.value = ()  # the bytes need not be kept

    def _offer(self, name: str) -> None:
        """Offer all current photographs, with this one selected."""
        self.photograph.unobserve(self._preview, "value")
        with self.photograph.hold_sync():
            self.photograph.options = list(self._photographs)
            self.photograph.value = name
        self.photograph.observe(self._preview, "value")
        self._preview()

    def _play(self, _: ipywidgets.Button) -> None:
        self._unfinished = None
        with self._busy(), self._told():
            self._say("The models are at work.")
            try:
                self._open(self._played())
            except KeyboardInterrupt:
                if self._unfinished is not None:
                    self._open(self._unfinished)
                self._say("Stopped.")
                raise

    def _played(self) -> Chain:
        if self.photograph.value is None:
            raise ImageError("There is no photograph to start from. Upload one.")
        phone = self._phone
        if phone is None:
            from telephonegan.telephone import load

            phone = load(world=self.world.value)
        temperature = self.temperature.value
        return phone.play(
            image=self._photographs[self.photograph.value],
            rounds=self.rounds.value,
            seed=self.seed.value,
            truncation=self.noise_scale.value,
            progress=False,
            on_round=self._count,
            **({"method": "sample", "temperature": temperature} if temperature else {}),
        )

    def _open(self, chain: Chain) -> None:
        before, self.chain = self.result.children, chain
        self.result.children = [ChainExplorer(chain)]
        for explorer in before:
            explorer.close()
        early = "" if chain.is_complete else " The chain ended early: the last caption has no word that can be painted."
        rounds = "1 round" if len(chain) == 2 else f"{len(chain) - 1} rounds"
        chosen = f"in the world of {self.world.value}, " if self._worlds else ""
        chosen += f"temperature {self.temperature.value:g}, noise scale {self.noise_scale.value:g}"
        self._say(f"{self.photograph.value}: {rounds} with seed {chain.seed}, {chosen}.{early}")
        self.renew_still()

    def _count(self, chain: Chain) -> None:
        self._unfinished = chain
        self.progress.value, self.progress.description = len(chain), f"round {len(chain) - 1}"

    @contextmanager
    def _busy(self) -> Iterator[None]:
        controls = (
            *(self.photograph, self.upload, self.world, self.rounds, self.seed),
            *(self.temperature, self.noise_scale, self.button),
        )
        self.progress.value, self.progress.max = 0, self.rounds.value + 1
        try:
            for control in controls:
                control.disabled = True
            self.button.description, self.button.icon = _BUSY, "hourglass-half"
            yield
        finally:
            for control in controls:
                control.disabled = False
            self.button.description, self.button.icon = _IDLE, "play"
            self.progress.value, self.progress.description = 0, "ready"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TelephoneganError as error:
            self.status.value = error_html(str(error))
        except Exception as error:
            self.status.value = error_html(f"Unexpected: {type(error).__name__}: {error}")
            raise  # the traceback goes where the front end shows those

    def _say(self, text: str) -> None:
        self.status.value = card_html(faint_html(text))


def uploaded_image(file: Mapping[str, Any]) -> Image.Image:
    """The picture in one entry of `FileUpload.value`, at most 1024 pixels wide and high. Raises ImageError."""
    name, size = file["name"], file["size"]
    if size > LARGEST_UPLOAD:
        raise ImageError(
            f"{name!r} is {size / 1e6:.1f} MB; at most {LARGEST_UPLOAD / 1e6:.0f} MB are allowed. "
            "Shrink the picture first."
        )
    try:
        return working_image(file["content"])
    except ImageError as error:
        raise ImageError(f"{name!r} cannot be used. {error}") from error
