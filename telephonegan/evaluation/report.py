"""The quality tables of the README and of the model cards, as `telephonegan report` writes them.

Numbers come from `weights/evaluations.jsonl`, the lines appended by `telephonegan evaluate … --out`, if they were
measured with the weights that are shipped now, and otherwise from the manifest. Everything between
`<!-- quality captioner -->` and `<!-- /quality -->` is replaced; `captioner` is a kind or KIND/NAME of a model, or
several of these separated by spaces. `compared flowers 64` instead asks for one table of all generators, shipped or
not, that were measured with that data and with all pictures at that many pixels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from telephonegan.errors import DataError
from telephonegan.zoo import catalogue
from telephonegan.zoo.catalogue import Entry

DOCUMENTS = ("README.md", "weights/README.md")
EVALUATIONS = "evaluations.jsonl"

_BLOCK = re.compile(r"(?<=<!-- quality )([^\n]*?)( -->\n).*?(?=<!-- /quality -->)", re.DOTALL)
_SPLITS = ("train", "dev", "test", "all")  # in order of preference, the best last; all: every photograph of classes
_COMPARED = "compared"
_WITHOUT_SPLIT = ("guided",)
_WITHOUT_TEXT = ("free", "dcgan", "pggan")  # generators that no captions measure
_FEWEST_PAIRS = 20  # kinds of words with fewer are left out
Record = Mapping[str, Any]


def outdated(root: Path) -> dict[Path, str]:
    """New contents of the documents of the repository at `root` whose tables are out of date.

    Raises DataError for a folder that is not the repository, a damaged evaluation, or a block without a model.

    >>> outdated(catalogue.SHIPPED.parent)  # doctest: +SKIP
    {}
    """
    records = read_evaluations(catalogue.SHIPPED / EVALUATIONS)
    shipped = [entry for entry in catalogue.entries() if entry.path.is_relative_to(catalogue.SHIPPED.resolve())]
    texts = {root / name: _read(root / name) for name in DOCUMENTS}
    written = {path: regenerated(text, shipped, records) for path, text in texts.items()}
    return {path: text for path, text in written.items() if text != texts[path]}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Run this in a clone of the repository.") from error


def read_evaluations(path: Path) -> list[Record]:
    """The records of an evaluation file, empty if it does not exist. Raises DataError for an invalid line."""
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            record["what"], record["n"], _preference(record)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}, is not an evaluation ({type(error).__name__}: {error}). "
                "Delete the line and measure again with: telephonegan evaluate … --out"
            ) from error
        records.append(record)
    return records


def regenerated(text: str, entries: Sequence[Entry], records: Sequence[Record]) -> str:
    """`text` with all tables replaced. Raises DataError for a block without a model or without an end.

    >>> regenerated("<!-- quality captioner -->\\nold\\n<!-- /quality -->", [], [])
    Traceback (most recent call last):
    telephonegan.errors.DataError: <!-- quality captioner --> names no shipped model. Name a kind or KIND/NAME.
    """
    if text.count("<!-- quality ") != text.count("<!-- /quality -->"):
        raise DataError("Each <!-- quality KIND --> needs a <!-- /quality -->. Add the missing one.")

    def block(match: re.Match[str]) -> str:
        wanted = match[1].split()
        if wanted[0] == _COMPARED:
            return f"{match[1]}{match[2]}\n{_compared(match[1], records)}\n\n"
        chosen = [entry for entry in entries if {entry.kind, f"{entry.kind}/{entry.name}"} & {*wanted}]
        if not chosen:
            raise DataError(f"<!-- quality {match[1]} --> names no shipped model. Name a kind or KIND/NAME.")
        return f"{match[1]}{match[2]}\n{tables(chosen, records)}\n\n"

    return _BLOCK.sub(block, text)


def tables(entries: Sequence[Entry], records: Sequence[Record]) -> str:
    """The tables of these models, kind by kind, as Markdown."""
    captioners = [entry for entry in entries if entry.kind == "captioner"]
    matchers = [entry for entry in entries if entry.kind in ("damsm", "judge")]
    generators = [entry for entry in entries if entry.kind == "generator" and entry.architecture not in _WITHOUT_TEXT]
    parts = [_captioners(captioners, records)] if captioners else []
    parts += [_matchers(matchers, records)] if matchers else []
    embeddings = [entry for entry in entries if entry.kind == "embedding"]
    parts += [_embeddings(embeddings, records)] if embeddings else []
    parts += [_generator(entry, records) for entry in generators]
    parts += [_axes(entry) for entry in entries if entry.kind == "axes"]
    for entry in entries:
        parts += [_reconstructions(entry, records), *_guided(entry, records)] if entry.kind == "ppgn" else []
    return "\n\n".join(parts)


def measured(what: str, sha256: str | None, records: Iterable[Record]) -> Record:
    """The evaluation to report for these weights; {} if there is none.

    Preferred are all splits together, then the test split, then the largest number of pictures, then the latest.
    """
    fitting = [record for record in records if record["what"] == what and record.get("sha256") == sha256]
    ranked = enumerate(fitting)
    return max(ranked, key=lambda each: (_preference(each[1]), each[1]["n"], each[0]), default=(0, {}))[1]


def _preference(record: Record) -> int:
    """The place of its split in `_SPLITS`; -1 for what is compared with no photographs. Raises ValueError, KeyError."""
    return -1 if record["what"] in _WITHOUT_SPLIT else _SPLITS.index(record["split"])


# ---------------------------------------------------------------------------------------------------------- captioners


def _captioners(entries: Sequence[Entry], records: Sequence[Record]) -> str:
    found = {f"`{entry.name}`": measured("captioner", entry.sha256, records) or entry.quality for entry in entries}
    data = {_data(record) for record in found.values()}
    if nearest := measured("nearest", None, [record for record in records if _data(record) in data]):
        found["nearest neighbour: a caption of the most similar training photograph"] = nearest
    orders = [f"BLEU-{order}" for order in range(1, 5)]
    rows = [
        {
            "captioner": name,
            **{key: _fixed(record, key, 3) for key in (*orders, "METEOR", "ROUGE-L", "CIDEr", "CIDEr-D")},
            "beam": _whole(record, "beam"),
            "photographs": _whole(record, "n"),
            "split": record.get("split", ""),
        }
        for name, record in found.items()
    ]
    return _joined(_table(rows), _sources(found.values()))


def _data(record: Record) -> str:
    """The data folder in the command: numbers from different data do not belong in one table."""
    found = re.search(r"--data[ =](\S+)", record.get("command", ""))
    return found[1] if found else ""


# ---------------------------------------------------------------------------------------------------------------- axes


def _axes(entry: Entry) -> str:
    """What `axes show --measure` found, which the manifest keeps; changes are in standard deviations per σ."""
    found, r2 = entry.settings.get("measured", {}), entry.settings.get("r2") or []
    rows = [
        {
            f"axes of `{entry.settings.get('generator')}`": name,
            "R² held out": f"{value:.2f}",
            **{title: f"{found[name][key]:.{digits}f}" for key, title, digits in _OF_AXES if name in found},
        }
        for name, value in zip(entry.settings.get("names", []), r2, strict=False)
    ]
    return _table(rows) if rows else ""


_OF_AXES = (
    ("slope", "slope", 2),
    ("spearman", "rank", 2),
    ("leakage", "leakage", 2),
    ("locked_slope", "slope, locked", 2),
    ("locked_leakage", "leakage, locked", 3),
)


# ------------------------------------------------------------------------------------------------------ reconstructions


def _reconstructions(entry: Entry, records: Sequence[Record]) -> str:
    """What `evaluate ppgn` found: photographs painted from their codes, and their nearest neighbours."""
    record = measured("ppgn", entry.sha256, records) or entry.quality
    title = f"`{entry.name}`, {_whole(record, 'n')} photographs of the {record.get('split', '')} split"
    nearest = f"nearest of {_whole(record, 'n_train')} training photographs"
    rows = [
        {title: name, "painted": _fixed(record, key, digits), nearest: _fixed(record, f"{key}_nearest", digits)}
        for key, name, digits in _OF_RECONSTRUCTIONS
    ]
    return _joined(_table(rows), _sources([record]))


_OF_RECONSTRUCTIONS = (
    ("psnr", "PSNR, dB", 1),
    ("lite2_cosine", "cosine of Lite2 features to the photograph", 2),
    ("code_cosine", "cosine of codes to the photograph", 2),
    ("kid_lite2", "KID-lite2", 3),
)


def _guided(entry: Entry, records: Sequence[Record]) -> list[str]:
    """What `evaluate guided` found: whether another network sees the classes sampled. Empty if not measured."""
    record = measured("guided", entry.sha256, records)
    if not record:
        return []
    judge, network = record["judge"].capitalize(), record["network"].capitalize()
    title = f"{len(record['classes'])} classes, {record['seeds']} seeds each, {record['steps']} steps"
    ways = {
        "joint": "joint prior",
        "none": "no prior",
        "text": f"`{record['generator']}`, with the name of the class as text",
    }
    rows = [
        {
            title: name,
            f"{judge} names the class": _share(record[way], "right"),
            "among its five likeliest": _share(record[way], "right_5"),
            f"probability by {network}, which was climbed": _fixed(record[way], "own", 2),
            "distance between seeds": _fixed(record[way], "diversity", 1),
            "pictures": _whole(record[way], "n"),
        }
        for way, name in ways.items()
    ]
    return [_joined(_table(rows), _sources([record]))]


# ------------------------------------------------------------------------------------------------------------ matching


def _matchers(entries: Sequence[Entry], records: Sequence[Record]) -> str:
    found = [(entry, measured("damsm", entry.sha256, records) or entry.quality) for entry in entries]
    rows = [
        {
            "model": f"`{entry.kind}/{entry.name}`",
            f"R-precision 1/{record.get('r_precision_candidates', 100)}": _with_std(record, "r_precision"),
            "picture → text R@1, 5, 10": _recalls(record, "image_to_text"),
            "text → picture R@1, 5, 10": _recalls(record, "text_to_image"),
            "word loss": _fixed(record, "word_loss", 2),
            "sentence loss": _fixed(record, "sentence_loss", 2),
            "photographs": _whole(record, "n"),
            "split": record.get("split", ""),
        }
        for entry, record in found
    ]
    chance = next((record for _, record in found if "loss_chance" in record), None)
    note = chance and (
        f"Guessing gives an R-precision of {chance['r_precision_chance']:.3g}, and losses of "
        f"{chance['loss_chance']:.2f} in batches of {chance['loss_batch']} pairs."
    )
    return _joined(_table(rows), note, _sources(record for _, record in found))


def _recalls(record: Record, direction: str) -> str:
    return ", ".join(filter(None, (_fixed(record, f"{direction}_recall_{k}", 3) for k in (1, 5, 10))))


# ---------------------------------------------------------------------------------------------------------- embeddings


def _embeddings(entries: Sequence[Entry], records: Sequence[Record]) -> str:
    """What `evaluate embedding` found, the shipped ones first, then others on the same data, to compare with."""
    found = {f"`{entry.name}`": measured("embedding", entry.sha256, records) or entry.quality for entry in entries}
    data, shipped = {_data(record) for record in found.values()}, {entry.sha256 for entry in entries}
    others = [record for record in records if record["what"] == "embedding" and record.get("sha256") not in shipped]
    found |= {record["name"]: record for record in others if _data(record) in data}
    rows = [_zero_shot(name, record) for name, record in found.items()]
    if guessed := next((record for record in found.values() if "top1_chance" in record), None):
        chance = _fixed(guessed, "top1_chance", 3)
        precision = dict.fromkeys(
            (f"AP@{k}" for k in _RETRIEVED if f"ap_{k}" in guessed), _fixed(guessed, "ap_chance", 3)
        )
        rows.append({"embedding": "guessing", "top-1": chance, "top-1, equal length": chance, **precision})
    return _joined(_table(rows), _sources(found.values()))


_RETRIEVED = (1, 5, 10, 50)


def _zero_shot(name: str, record: Record) -> dict[str, str]:
    return {
        "embedding": name,
        "top-1": _fixed(record, "top1", 3),
        "top-1, equal length": _fixed(record, "top1_cosine", 3),
        **{f"AP@{k}": _fixed(record, f"ap_{k}", 3) for k in _RETRIEVED},
        "picture → text R@1, 5, 10": _recalls(record, "image_to_text"),
        "text → picture R@1, 5, 10": _recalls(record, "text_to_image"),
        "classes": _whole(record, "n_classes"),
        "photographs": _whole(record, "n"),
    }


# ---------------------------------------------------------------------------------------------------------- generators


def _generator(entry: Entry, records: Sequence[Record]) -> str:
    usual = [record for record in records if _variant(record) is None]
    record = measured("generator", entry.sha256, usual) or entry.quality
    others = [each for each in _variants(entry.sha256, records) if each["n"] and each is not record]
    words = measured("words", entry.sha256, records)
    cycle = measured("cycle", entry.sha256, records)
    title = f"`{entry.name}`, {_whole(record, 'n')} captions of the {record.get('split', '')} split"
    lines = [*_matching(record), *_distances(record), *_differences(record), *_cycle(cycle)]
    lines += [line for other in others for line in _other(other)]
    columns = (title, "measured", "floor", "photographs")
    rows = [dict(zip(columns, line, strict=True)) for line in lines if line[1]]
    return _joined(_table(rows), _words(words), _sources((record, words, cycle, *others)))


def _compared(block: str, records: Sequence[Record]) -> str:
    """The latest measurement of each generator with the data and pixels that a block names, best matching first."""
    data, pixels = [*block.split(), "", ""][1:3]
    found = {
        record["name"]: record
        for record in records
        if record["what"] == "generator" and (_data(record), str(_pixels(record))) == (data, pixels)
    }
    if not found:
        raise DataError(f"<!-- quality {block} --> finds no generator measured with that data and --pixels.")
    ranked = sorted(found.values(), key=lambda record: -record["r_precision_scaled"])
    rows = [
        {"generator": f"`{record['name']}`"}
        | {title: _fixed(record, key, digits) for title, key, _, digits in _COLUMNS}
        for record in ranked
    ]
    ceilings = {title: _fixed(ranked[0], key, digits) for title, _, key, digits in _COLUMNS}
    named = [record | {"command": record["command"].replace(f" {record['name']} ", " NAME ", 1)} for record in ranked]
    return _joined(_table([*rows, {"generator": "photographs"} | ceilings]), _sources(named))


_COLUMNS = (  # title, what pictures have, what photographs have, digits
    ("R-precision 1/100", "r_precision", "r_precision_real", 3),
    ("R-precision, scaled", "r_precision_scaled", "", 2),
    ("KID-lite2", "kid_lite2", "kid_lite2_ceiling", 3),
    ("FD-lite2", "fd_lite2", "fd_lite2_ceiling", 0),
    ("difference, other seed", "other_seed_difference", "", 2),
    ("difference, other caption", "other_caption_difference", "other_photograph_difference", 2),
    ("captions", "n", "n_ceiling", 0),
)


def _variant(record: Record) -> str | None:
    """The unusual settings of a generator's measurement, in words; None for the default ones."""
    if record["what"] != "generator":
        return None
    best_of, truncation = record.get("best_of", 1), record.get("truncation", 1.0)
    told = [f"the best of {best_of}"] if best_of != 1 else []
    told += [f"noise scaled by {truncation:g}"] if truncation != 1.0 else []
    told += [f"{len(record['classes'])} classes only"] if record.get("classes") else []
    told += [] if _pixels(record) in (None, record.get("size")) else [f"all resized to {_pixels(record)} px"]
    return ", ".join(told) or None


def _pixels(record: Record) -> int | None:
    """The size at which Lite2 compared pictures, if recorded."""
    return int(record["lite2_pixels"].partition(",")[0]) if "lite2_pixels" in record and "size" in record else None


def _variants(sha256: str | None, records: Iterable[Record]) -> list[Record]:
    """The latest measurement for each combination of unusual settings."""
    found = {_variant(record): record for record in records if record.get("sha256") == sha256}
    return [record for variant, record in found.items() if variant is not None]


def _other(record: Record) -> list[tuple[str, ...]]:
    """The main numbers of a measurement with unusual settings."""
    variant = f"{_variant(record)}, {_whole(record, 'n')} captions"
    lines = [(f"KID-lite2: {variant}", _fixed(record, "kid_lite2", 4), "", _fixed(record, "kid_lite2_ceiling", 4))]
    if record.get("best_of", 1) != 1 or record.get("truncation", 1.0) != 1.0 or record.get("classes"):
        lines.insert(0, (f"R-precision, scaled: {variant}", _fixed(record, "r_precision_scaled", 2), "0", "1"))
    return lines


def _matching(record: Record) -> list[tuple[str, ...]]:
    judge = f" by {record['judge']}" if "judge" in record else ""
    shuffled, chance = _fixed(record, "r_precision_shuffled", 3), _fixed(record, "r_precision_chance", 3)
    floor = f"{shuffled} shuffled, {chance} guessing" if shuffled else ""
    candidates = record.get("r_precision_candidates", 100)
    return [
        (
            f"R-precision 1/{candidates}{judge}",
            _with_std(record, "r_precision"),
            floor,
            _with_std(record, "r_precision_real"),
        ),
        ("the same, scaled: guessing 0, photographs 1", _fixed(record, "r_precision_scaled", 2), "0", "1"),
    ]


def _distances(record: Record) -> list[tuple[str, ...]]:
    """Kernel and Fréchet distances for all features in the record."""
    between = f" ({record['ceiling']} against {record['reference']})" if "ceiling" in record else ""
    lines = []
    for key in record:
        kind, _, features = key.partition("_")
        if kind not in ("kid", "fd", "fid") or key.endswith(("_std", "_subset", "_ceiling", "_matched", "_at")):
            continue
        name, digits = f"{kind.upper()}-{features}", 4 if kind == "kid" else 1
        ceiling = _fixed(record, f"{key}_ceiling", digits)
        told = ceiling and ceiling + between
        if kind == "kid":
            lines.append((name, _fixed(record, key, digits), "", told))
            lines += _kernel_distances_at(record, key, name)
        elif record["n"] == record.get("n_ceiling", record["n"]):
            lines.append((name, _fixed(record, key, digits), "", told))
        else:  # Fréchet distances are comparable only for equal numbers of pictures
            lines.append((f"{name}, {_whole(record, 'n')} pictures", _fixed(record, key, digits), "", ""))
            matched = _fixed(record, f"{key}_matched", digits)
            lines.append((f"{name}, {_whole(record, 'n_ceiling')} pictures", matched, "", told))
    return lines


def _kernel_distances_at(record: Record, key: str, name: str) -> list[tuple[str, ...]]:
    """The kernel distance at several input sizes of its network, if measured."""
    at, ceiling = record.get(f"{key}_at", {}), record.get(f"{key}_at_ceiling", {})
    if not at:
        return []
    numbers, ceilings = (", ".join(_fixed(each, size, 4) for size in each) for each in (at, ceiling))
    return [(f"{name}, pictures enlarged to {', '.join(at)}", numbers, "", ceilings)]


def _differences(record: Record) -> list[tuple[str, ...]]:
    names = {"difference": ("difference of 16-px thumbnails", 2), "lite2": ("distance of Lite2 features", 1)}
    lines = []
    for key, (name, digits) in names.items():
        seed, caption, photographs = (
            _fixed(record, f"other_{other}_{key}", digits) for other in ("seed", "caption", "photograph")
        )
        both = f"{seed}, {caption}" if seed else ""
        lines.append((f"{name}: other seed, other caption", both, "0", photographs and f"{photographs} between two"))
    return lines


def _cycle(cycle: Record) -> list[tuple[str, ...]]:
    values = [_fixed(cycle, f"CIDEr-D{part}", 3) for part in ("", "_shuffled", "_photographs")]
    floor = values[1] and f"{values[1]} shuffled"
    return [
        (f"CIDEr-D of captions of the pictures, by captioner/{cycle.get('captioner')}", values[0], floor, values[2])
    ]


def _words(words: Record) -> str | None:
    if not words:
        return None
    rows = [
        {
            "exchanged word": kind,
            "pairs": _whole(effect, "n"),
            "margin": _fixed(effect, "margin", 3),
            "both pictures prefer their own text": _share(effect, "both_prefer"),
            "photographs prefer theirs": _share(effect, "photographs_prefer"),
        }
        for kind, effect in words["kinds"].items()
        if effect["n"] >= _FEWEST_PAIRS
    ]
    return (
        "One word is replaced by another of its kind, and both texts are painted with the same noise. Both pictures "
        "score higher with their own text in 25 % of the pairs by guessing, and in none if the word has no effect; a "
        "photograph does in 50 % by guessing.\n\n" + _table(rows)
    )


# ------------------------------------------------------------------------------------------------------------ Markdown


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table with the columns of the first row, without empty ones; nothing without rows."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in names if any(row.get(name) for row in rows)]
    lines = [columns, ["---"] * len(columns), *([row.get(name, "") for name in columns] for row in rows)]
    return "\n".join("|" + "|".join(f" {cell} " if cell != "---" else cell for cell in line) + "|" for line in lines)


def _joined(*parts: str | None) -> str:
    return "\n\n".join(filter(None, parts))


def _sources(records: Iterable[Record]) -> str | None:
    commands = dict.fromkeys(_published(record["command"]) for record in records if "command" in record)
    return "Measured by " + ", ".join(f"`{command}`" for command in commands) + "." if commands else None


def _published(command: str) -> str:
    """The command without the files it writes or keeps."""
    return re.sub(r" --(out|grid|pictures)[ =]\S+", "", command)


def _with_std(record: Record, key: str) -> str:
    mean, std = _fixed(record, key, 3), _fixed(record, f"{key}_std", 3)
    return f"{mean} ± {std}" if mean and std else mean


def _fixed(record: Record, key: str, digits: int) -> str:
    value = record.get(key)
    return "" if value is None else f"{value:.{digits}f}"


def _share(record: Record, key: str) -> str:
    value = record.get(key)
    return "" if value is None else f"{100 * value:.0f} %"


def _whole(record: Record, key: str) -> str:
    value = record.get(key)
    return "" if value is None else f"{value:,}"
