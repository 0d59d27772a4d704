"""Putting played rounds on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from telephonegan import files
from telephonegan.experiment.blocks import Player
from telephonegan.experiment.folder import PICTURES
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.records import Journal, Record
from telephonegan.telephone import Telephone


@dataclass(frozen=True)
class Keeper:
    """Puts rounds on disk: pictures first, then their lines, so that a line never lacks its picture."""

    folder: Path
    plan: Plan
    phone: Telephone
    journal: Journal

    def __call__(self, fresh: Sequence[Player]) -> None:
        self.journal.append([self._record(player) for player in fresh])

    def _record(self, player: Player) -> Record:
        step = player.chain[-1]
        caption, picture = step.caption, step.picture
        return {
            "chain": player.id,
            "source": player.source.id,
            "seed": player.chain.seed,
            "round": step.index,
            "caption": caption.text,
            "words": caption.words,
            "log_probability": caption.log_probability,
            "dropped": picture.dropped_words if picture else [],
            "truncated": picture.truncated if picture else 0,
            "picture": self._kept_picture(player),
        }

    def _kept_picture(self, player: Player) -> str | None:
        step = player.chain[-1]
        ends = step.index in (0, self.plan.rounds) or not self.phone.can_go_on(player.chain)
        if step.picture is None or self.plan.pictures == "none" or (self.plan.pictures == "ends" and not ends):
            return None
        # What a chain began with is kept once for all its seeds.
        name = f"{player.id}/{step.index:04}.png" if step.index else f"{player.source.id}.png"
        path = self.folder / PICTURES / name
        files.make_folder(path.parent)
        files.replace(path, files.png_bytes(step.picture.image))
        return path.relative_to(self.folder).as_posix()
