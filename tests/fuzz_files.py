"""Mutated files of all kinds but pictures, for `python -m tests.fuzz`.

Checkpoints, pickles, word maps, games, experiments, summaries, models, training runs, settings, data and packs. Each is
mutated in a folder with the others it belongs to, and read the way a user reads it.
"""

from __future__ import annotations

import atexit
import io
import json
import pickle
import random
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot
from PIL import Image

from telephonegan import drift, figures
from telephonegan.chains import Chain
from telephonegan.data import checks
from telephonegan.data.layouts import open_data
from telephonegan.data.packs import write_pack
from telephonegan.errors import TelephoneganError
from telephonegan.experiment.folder import place_of_sources
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.summary import read_summary, write_summary
from telephonegan.experiment.wording import in_words
from telephonegan.figures.experiment import _of_summary, _panels, table_of
from telephonegan.files import json_bytes, sha256
from telephonegan.networks.attngan import Generator
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.dfgan import DeepFusionGenerator
from telephonegan.networks.show_attend_tell import AttendingDecoder
from telephonegan.provenance import without_places
from telephonegan.training import runs
from telephonegan.training.recipes import settings_of
from telephonegan.zoo import catalogue, store
from telephonegan.zoo.attngan_config import read_config
from telephonegan.zoo.legacy_pickles import read_captions, read_classes, read_names, read_vocabulary
from telephonegan.zoo.pickled_modules import read_modules
from telephonegan.zoo.published import load_published
from telephonegan.zoo.table import ModelTable
from tests.mutations import CHANGES, Mutations, splice

_FIXTURES = Path(__file__).parent / "fixtures"
_LARGEST = 1_000_000  # bytes of a mutated file
_WORDS = ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "runs"]
_PICKLED = (  # opcodes, and what attacks are made of
    *(b"cos\nsystem\n", b"(lp0\n", b"}", b"]", b"\x8c\x02os\x8c\x06system\x93", b"R", b"b", b"s", b"u", b"0", b"."),
    *(b"\x8a\xff", b"r\xff\xff\xff\x7f", b"\x8e\xff\xff\xff\xff\0\0\0\0", b"I" + b"9" * 5000 + b"\n", b"(" * 2000),
)
_WRITTEN = (  # for YAML and other texts
    *("\n- ", ": ", "{", "[" * 40, "&a [*a]", "<<: *a", "!!python/object:os.system x", "!!timestamp 2020-13-45"),
    *("9" * 5000, "1e999", ".nan", "\0", "\ud800", "\x1b[2J", "'", '"', "\t", "\ufeff", "<img src=x onerror=alert(1)>"),
    *("../../x.jpg", "a" * 20_000, "null", "true", ",,,,", "|", "#", "\r", "\u2028", "\u0301" * 2000),
)


@dataclass(frozen=True)
class _Case:
    """Files that belong together, those of them that are mutated, and what is done with them."""

    folder: Path
    mutated: tuple[str, ...]
    use: Callable[[Path, str], str | None]  # folder and mutated file → what is wrong with the result, or None


def attempt(seed: int, number: int) -> str:
    """What becomes of one mutated file: "read", or "fault" and why. Raises what the library raises."""
    case, name, content = _chosen(seed, number)
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(case.folder, Path(place) / "files")
        (folder / name).write_bytes(content)
        fault = case.use(folder, name)
    return "read" if fault is None else f"fault {fault}"


def mutated(seed: int, number: int) -> bytes:
    """One damaged file; the same numbers give the same one."""
    return _chosen(seed, number)[2]


def prepare() -> None:
    """Load what is loaded once, by reading everything as it was written."""
    for case in cases():
        for name in sorted({*case.mutated}):
            with tempfile.TemporaryDirectory() as place:
                fault = case.use(shutil.copytree(case.folder, Path(place) / "files"), name)
                assert fault is None, (name, fault)


def _chosen(seed: int, number: int) -> tuple[_Case, str, bytes]:
    chance = random.Random(f"{seed}/{number}")
    case = cases()[number % len(cases())]
    name = chance.choice(case.mutated)
    return case, name, _changed((case.folder / name).read_bytes(), name, chance)


# ---------------------------------------------------------------------------------------------------- mutations


def _changed(content: bytes, name: str, chance: random.Random) -> bytes:
    if name.endswith((".json", ".jsonl")) and chance.random() < 0.6:
        return _changed_json(content, chance)
    if zipfile.is_zipfile(io.BytesIO(content)) and chance.random() < 0.7:
        return _changed_zip(content, chance)
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        if not changed:
            break
        kind = chance.random()
        if kind < 0.4 and name.endswith((".pkl", ".pickle")):
            at = chance.randrange(len(changed))
            changed[at:at] = chance.choice(_PICKLED)
        elif kind < 0.6 and name.endswith((".txt", ".csv", ".yml", ".yaml", ".json", ".jsonl")):
            at = chance.randrange(len(changed))
            changed[at:at] = chance.choice(_WRITTEN).encode(errors="surrogatepass")
        elif kind < 0.7:
            splice(changed, chance, content)
        else:
            chance.choice(CHANGES)(changed, chance)
        del changed[_LARGEST:]
    return bytes(changed)


def _changed_json(content: bytes, chance: random.Random) -> bytes:
    mutate = Mutations(chance.random())
    try:
        return mutate(json.loads(content))
    except ValueError:  # a file of lines
        lines = content.splitlines()
        at = chance.randrange(len(lines))
        lines[at] = mutate(json.loads(lines[at]))
        return b"\n".join([*lines, b""])


def _changed_zip(content: bytes, chance: random.Random) -> bytes:
    """Damage in one member, with a checksum that is right: it comes further than damage in the whole."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    chosen = chance.choice(list(members))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for info, inside in members.items():
            if info is chosen and inside:
                inside = _changed(inside, info.filename, chance)
            if info is not chosen or chance.random() > 0.05:
                archive.writestr(zipfile.ZipInfo(info.filename, info.date_time), inside, info.compress_type)
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------- cases


@cache
def cases() -> list[_Case]:
    """All kinds of files, written once per process."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    torch.manual_seed(0)
    return [make(root / make.__name__.strip("_")) for make in _MAKERS]


def _all_of(folder: Path, use: Callable[[Path, str], str | None]) -> _Case:
    return _Case(folder, tuple(sorted(path.name for path in folder.iterdir() if path.is_file())), use)


def _game(folder: Path) -> _Case:
    shutil.copytree(_FIXTURES / "chain-from-image", folder)
    return _Case(folder, ("chain.json", "chain.json", "attention/01.npz", "rounds/01.png"), _show)


def _show(folder: Path, name: str) -> str | None:
    chain = Chain.load(folder)
    shown = "".join(each._repr_html_() for each in (*chain.captions, *chain.pictures))
    chain.drift(["content_f1"])
    for each in chain:
        if each.picture is not None and each.caption.attention is not None and each.caption.words:
            each.caption.attention_sheet()
    return "a text is shown as it is" if "<img src=x" in shown or "\x1b" in repr(chain) else None


def _experiment(folder: Path) -> _Case:
    shutil.copytree(_FIXTURES / "experiment", folder)
    (folder / "references.json").write_text(json.dumps({"s0000": [["a", "dog"], ["a", "red", "ball"]], "s0001": []}))
    (folder / "place.json").write_text(json.dumps({"sources": "texts.txt", "command": "telephonegan experiment run"}))
    return _all_of(folder, _reopen)


def _reopen(folder: Path, name: str) -> None:
    place_of_sources(folder)
    drift.similarities(Experiment.open(folder).tracks(), ["content_f1"])


def _summary(folder: Path) -> _Case:
    shutil.copytree(_FIXTURES / "experiment", folder)
    write_summary(folder, ["content_f1", "rouge_l"], resamples=5, device="cpu")
    return _Case(folder, ("summary.json",), _report)


def _old_summary(folder: Path) -> _Case:
    shutil.copytree(_FIXTURES / "experiment", folder)
    shutil.copy(Path(__file__).parent / "experiment" / "summary_of_format_1.json", folder / "summary.json")
    return _Case(folder, ("summary.json",), _report)


def _report(folder: Path, name: str) -> str | None:
    summary = read_summary(folder)
    in_words(summary)
    drawn = [*_panels(summary), *_of_summary(summary)]
    figures.latex_table(table_of(summary), caption="", label="tab:drift")
    for _, axes in drawn:
        pyplot.close(axes.figure)
    return None


def _pickles(folder: Path) -> _Case:
    folder.mkdir()
    module = type(sys)("vocabulary")
    module.Vocabulary = type("Vocabulary", (), {"__module__": "vocabulary"})
    held = module.Vocabulary()
    held.idx2word = dict(enumerate(_WORDS))
    held.word2idx = {word: number for number, word in held.idx2word.items()}
    sys.modules["vocabulary"] = module
    words = ["<end>", "a", "dog"]
    tables = [dict(enumerate(words)), {word: number for number, word in enumerate(words)}]
    contents = {"vocab": held, "captions": [[[1, 2]] * 4, [[1], [2]], *tables], "names": ["a/b", "c"]}
    for name, value in (contents | {"classes": np.array([200, 3, 7]), "table": dict(enumerate(_WORDS))}).items():
        for protocol in (0, 2, 4):
            (folder / f"{name}{protocol}.pickle").write_bytes(pickle.dumps(value, protocol))
    del sys.modules["vocabulary"]
    (folder / "WORDMAP.json").write_text(json.dumps({word: number for number, word in enumerate(_WORDS)}))
    return _all_of(folder, _unpickle)


def _unpickle(folder: Path, name: str) -> None:
    _first_that_reads((read_captions, read_classes, read_names, read_vocabulary), folder / name)


def _first_that_reads(readers: Sequence[Callable[[Path], object]], path: Path) -> None:
    """Try all readers; raises what the last one says if every one refuses."""
    refusals = []
    for read in readers:
        try:
            read(path)
        except TelephoneganError as error:
            refusals.append(error)
    if len(refusals) == len(readers):
        raise refusals[-1]


def _checkpoints(folder: Path) -> _Case:
    folder.mkdir()
    small = {"channels": 2, "residual_blocks": 1, "noise_width": 4, "condition_width": 4, "embedding_width": 4}
    nets = {
        "attngan": Generator(**small, branches=2),
        "dmgan": Generator(**small, branches=3, memory=True),
        "dfgan": DeepFusionGenerator(channels=2, blocks=2, noise_width=4, embedding_width=4),
        "text": TextEncoder(9, word_width=4, width=8),
        "attending": AttendingDecoder(9, feature_width=8),
    }
    for name, net in nets.items():
        for is_zip in (True, False):
            torch.save(net.state_dict(), folder / f"{name}{is_zip}.pth", _use_new_zipfile_serialization=is_zip)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    torch.save({"encoder": module, "decoder": module.state_dict(), "epoch": 3}, folder / "module.pth.tar")
    return _all_of(folder, _restore)


def _restore(folder: Path, name: str) -> None:
    _first_that_reads((load_published, read_modules), folder / name)


def _models(folder: Path) -> _Case:
    folder.mkdir()
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    told = {"quality": {"bleu": 0.5}, "description": "small", "licence": "MIT", "settings": {"hidden": 4}}
    store.register("captioner", "mine", net.state_dict(), architecture="tiny", vocabulary=_WORDS, folder=folder, **told)
    return _all_of(folder, _look_up)


def _look_up(folder: Path, name: str) -> str | None:
    manifest = folder / "manifest.json"
    if name != manifest.name:  # checksums that are right let damage come further
        told = json.loads(manifest.read_text())
        for record in told["models"].values():
            record["sha256"] = sha256(folder / record["file"])
        manifest.write_text(json.dumps(told))
    entries = [*catalogue._listing(folder).values()]
    table = ModelTable(entries)
    for entry in entries:
        store.read_vocabulary(entry)
        store.read_tensors(entry)
    return "a text is shown as it is" if "<img src=x" in table._repr_html_() or "\x1b" in repr(table) else None


def _run(folder: Path) -> _Case:
    folder.mkdir()
    record = {
        "recipe": "captioner",
        "settings": {"input_size": 64, "length_power": 0.7, "words_limit": 20, "rate": 0.1, "crop": True, "note": None},
        "network": {"width": 8, "nested": {"a": [1]}},
        "vocabulary": _WORDS,
        "command": "telephonegan train captioner --data 'my photos'",
        **{"seed": 3, "data": "f00"},
        "options": {"recipe": "captioner", "data": "/photos", "seed": 3, "steps": None, "set": ["a=1"]},
    }
    (folder / "run.json").write_text(json.dumps(record))
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    checkpoint = {"step": 3, "average": {"w": torch.ones(2, 3)}, "optimiser": optimiser}
    torch.save(checkpoint, folder / "checkpoint.pt")
    return _all_of(folder, _continue)


def _continue(folder: Path, name: str) -> None:
    record, _ = runs.read_exportable(folder)
    runs.refuse_other(folder, record)
    runs.read_origin("captioner", folder)
    without_places(record["command"])


def _settings(folder: Path) -> _Case:
    folder.mkdir()
    plan = "sources: photos\nsplit: test\nlimit: 20\nrounds: 3\nseeds: [0, 1]\nmethod: sample\ntemperature: 0.8\n"
    config = "CONFIG_NAME: 'attn2'\nDATASET_NAME: 'birds'\nGPU_ID: 0\nTREE:\n    BRANCH_NUM: 3\n"
    config += "TRAIN:\n    FLAG: True\n    NET_G: ''\nGAN:\n    GF_DIM: 48\nTEXT: {WORDS_NUM: 12}\n"
    (folder / "plan.yaml").write_text(plan)
    (folder / "damsm.yml").write_text("batch_size: 8\nlearning_rate: 1e-3\nviews: 2\n")
    (folder / "attn2.yml").write_text(config)
    return _all_of(folder, _read_settings)


def _read_settings(folder: Path, name: str) -> None:
    read = {"plan.yaml": Plan.read, "damsm.yml": lambda path: settings_of("damsm", "cpu", path, [])}
    read.get(name, lambda path: (read_config(path), settings_of("attngan", "cpu", path, [])))(folder / name)


def _data(folder: Path) -> _Case:
    """One folder, of which the mutated file is the only one that holds captions."""
    (folder / "images").mkdir(parents=True)
    names = [f"p{number}.jpg" for number in range(6)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    splits = ("train", "train", "val", "test", "train", "test")
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    notes = [{"id": number, "image_id": number, "caption": "A dog."} for number in range(6)]
    told = {"raw": "A dog runs.", "tokens": ["a", "dog"], "imgid": 0, "sentid": 0}
    split = [{"filename": name, "split": each, "sentences": [told]} for name, each in zip(names, splits, strict=True)]
    files = {
        "captions.csv": "image,caption,split\n" + "".join(f'{name},"a dog, running",test\n' for name in names),
        "captions.txt": "".join(f"{name}#0\ta dog runs\n" for name in names),
        "metadata.jsonl": "".join(json.dumps({"file_name": name, "text": "a dog"}) + "\n" for name in names),
        "coco.json": json.dumps({"images": images, "annotations": notes}),
        "dataset_flickr8k.json": json.dumps({"dataset": "flickr8k", "images": split}),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return _all_of(folder, _check)


def _check(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != name:
            path.unlink()
    report = checks.check(folder)
    json_bytes(report)
    checks.in_words(report)


def _pack(folder: Path) -> _Case:
    folder.mkdir()
    data = _data(folder / "data").folder
    for name in ("captions.txt", "metadata.jsonl", "coco.json", "dataset_flickr8k.json"):
        (data / name).unlink()
    write_pack(open_data(data), folder / "some.pack", size=32)
    shutil.rmtree(data)
    return _all_of(folder, _open_pack)


def _open_pack(folder: Path, name: str) -> None:
    data = open_data(folder / name)
    for split in data.splits:
        photos = data.split(split)
        photos.fingerprint()
        for row in range(len(photos)):
            photos.image(row)


_MAKERS = (
    *(_game, _experiment, _summary, _old_summary, _pickles, _checkpoints, _models, _run, _settings, _data, _pack),
)
