"""The chains that one call of each network computes. Which these are, the plan alone decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from telephonegan.chains import Chain, Round
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.records import Record
from telephonegan.experiment.sources import Source
from telephonegan.results import Caption
from telephonegan.telephone import Telephone

Recall = Callable[[str, int], Record | None]
Keep = Callable[[list["Player"]], None]


@dataclass
class Player:
    """One chain of an experiment, of which only the last round is held: memory does not grow with the rounds."""

    source: Source
    chain: Chain
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"{self.source.id}-seed{self.chain.seed}"

    @property
    def next_round(self) -> int:
        """The number of the round that comes next."""
        return len(self.chain)

    def open(self) -> None:
        """Before round 0: read what the chain begins with. Raises DataError."""
        if not self.chain.rounds:
            self.chain.source = self.source.content()

    def close(self) -> None:
        """After a round is kept: of it, the caption is all that the next one needs."""
        self.chain.source = ""
        self.recall(self.chain.rounds.pop().caption.text)

    def recall(self, caption: str) -> None:
        """Take a round as played, by its caption."""
        if self.chain.rounds:
            self.chain.rounds[-1] = _PLAYED
        self.chain.rounds.append(Round(len(self.chain), Caption(caption), None))


_PLAYED = Round(-1, Caption(""), None)


class Block:
    """Chains side by side. `recall` gives what is on disk of a chain's round, and `keep` puts new rounds there."""

    def __init__(self, players: Sequence[Player], phone: Telephone, seed_policy: str, recall: Recall) -> None:
        self.players, self.phone, self.seed_policy, self.recall = players, phone, seed_policy, recall

    def advance(self, keep: Keep) -> int:
        """One more round for every chain that can go on; how many these are.

        Where a round of any of them is missing, all are computed, as they were or would have been together.
        """
        going = [player for player in self.players if self.phone.can_go_on(player.chain)]
        known = [self.recall(player.id, player.next_round) for player in going]
        if all(known):
            for player, record in zip(going, known, strict=True):
                player.recall(record["caption"])
            return len(going)
        for player in going:
            player.open()
        self.phone.advance([player.chain for player in going], seed_policy=self.seed_policy)
        keep([player for player, record in zip(going, known, strict=True) if record is None])
        for player in going:
            player.close()
        return len(going)


def players(plan: Plan, phone: Telephone, sources: Sequence[Source]) -> list[Player]:
    """Every chain of the plan, source by source. Chain number and seed are those of `Telephone.play_many`."""
    shared = {"wanted": plan.rounds, "settings": plan.settings, "models": phone.models}
    return [
        Player(source, Chain("", source.candidate.name, seed=seed, number=source.number, **shared))
        for source in sources
        for seed in plan.seeds
    ]


def grouped(items: Sequence, size: int) -> list[Sequence]:
    """Neighbours in groups of `size`, the last of which may be smaller.

    >>> grouped("abcde", 2)
    ['ab', 'cd', 'e']
    """
    return [items[start : start + size] for start in range(0, len(items), size)]
