"""From what each process has played to one file, the same whatever the number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from telephonegan import files
from telephonegan.experiment.blocks import Player
from telephonegan.experiment.records import PARTS, ROUNDS, Record, line, read_parts
from telephonegan.telephone import Telephone

_WAIT_S = 600.0
Known = dict[tuple[str, int], Record]


def known_rounds(folder: Path) -> Known | None:
    """What all processes have played so far; None when it is merged already. Raises DataError or OutputError."""
    with files.locked(folder / ".merge.lock", wait_s=_WAIT_S):
        return None if (folder / ROUNDS).exists() else read_parts(folder)


def merge(folder: Path, players: Sequence[Player], rounds: int, phone: Telephone) -> bool:
    """When every chain has ended, put all lines in the order of the plan: source, seed, round. Whether they have.

    Raises DataError or OutputError.
    """
    with files.locked(folder / ".merge.lock", wait_s=_WAIT_S):
        if not (folder / ROUNDS).exists():
            known = read_parts(folder)
            if not all(_has_ended(known, player.id, rounds, phone) for player in players):
                return False
            played = ((player.id, number) for player in players for number in range(rounds + 1))
            files.replace(folder / ROUNDS, b"".join(line(known[each]) for each in played if each in known))
        remove_parts(folder)
        return True


def remove_parts(folder: Path) -> None:
    """Delete what has been merged."""
    for path in folder.glob(PARTS):
        path.unlink(missing_ok=True)


def _has_ended(known: Known, chain: str, rounds: int, phone: Telephone) -> bool:
    """Whether the last round of a chain is there: the last wanted, or the one after which nothing can be painted."""
    played = next((number for number in range(rounds + 1) if (chain, number) not in known), rounds + 1)
    return played > rounds or (played > 0 and not phone.generator.knows(known[chain, played - 1]["caption"]))
