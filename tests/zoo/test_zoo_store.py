"""Models are stored and found by name; damage, clashes and crashes are noticed and lose nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from telephonegan.errors import OutputError, SettingsError, UnknownModelError, WeightsError
from telephonegan.files import sha256
from telephonegan.zoo import catalogue, store
from telephonegan.zoo.table import ModelTable
from tests.locking import holding
from tests.mutations import TIMES, Mutations

WORDS = ["<pad>", "a", "dog", "naïve"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty shipped folder and an empty home for every test."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "manifest.json").write_text('{"format": 1, "models": {}}')
    monkeypatch.setattr(catalogue, "SHIPPED", shipped)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def stored(name: str = "mine", kind: str = "captioner", **changes) -> catalogue.Entry:
    given = {"architecture": "tiny", "settings": {"hidden": 4}} | changes
    return store.register(kind, name, given.pop("tensors", None) or network().state_dict(), **given)


def manifest(folder: Path | None = None) -> Path:
    return (folder or catalogue.home()) / "manifest.json"


def edit(path: Path, key: str, **changes) -> None:
    content = json.loads(path.read_text())
    content["models"][key] |= changes
    path.write_text(json.dumps(content))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# storing and reading back


def test_round_trip_returns_every_tensor_to_half_precision_and_float32():
    original = network().state_dict()
    read = store.read_tensors(stored(tensors=original))
    assert read.keys() == original.keys()
    for name, tensor in original.items():
        assert read[name].dtype == tensor.dtype
        torch.testing.assert_close(read[name], tensor, rtol=1e-3, atol=1e-6)


def test_round_trip_returns_what_is_written_about_the_model():
    told = {
        "architecture": "lstm",
        "settings": {"hidden": 4, "nested": [1, {"a": None}]},
        "preprocessing": {"size": 224},
        "data": "drawn",
        "licence": "MIT",
        "command": "telephonegan train",
        "quality": {"bleu": 0.5},
        "description": "small – naïve",
    }
    returned = stored(vocabulary=WORDS, **told)
    found = catalogue.find("captioner", "mine")
    assert found == returned
    assert {name: getattr(found, name) for name in told} == told
    assert store.read_vocabulary(found).words == WORDS
    assert found.size == found.path.stat().st_size > 0
    assert found.sha256 == sha256(found.path)


def test_integers_and_listed_patterns_keep_their_precision():
    tensors = {"weight": torch.tensor([0.1]), "norm.running_var": torch.tensor([1e-9]), "steps": torch.tensor(2**40)}
    read = store.read_tensors(stored(tensors=tensors, full_precision=["*.running_var"]))
    assert torch.equal(read["norm.running_var"], tensors["norm.running_var"])
    assert torch.equal(read["steps"], tensors["steps"])
    assert torch.equal(read["weight"], tensors["weight"].half().float())


def test_tensors_that_share_memory_and_slices_are_stored_whole():
    base = torch.arange(6.0).reshape(2, 3)
    read = store.read_tensors(stored(tensors={"a": base, "tied": base, "slice": base.T[1:]}))
    assert torch.equal(read["tied"], base)
    assert torch.equal(read["slice"], base.T[1:])


def test_values_beyond_half_precision_are_refused_with_the_remedy():
    with pytest.raises(SettingsError, match=r"scale has values up to 1e\+06.*full_precision"):
        stored(tensors={"scale": torch.tensor([1e6, -torch.inf])})
    stored(tensors={"scale": torch.tensor([1e6, -torch.inf])}, full_precision=["scale"])


def test_a_pattern_that_matches_no_tensor_is_refused():
    with pytest.raises(SettingsError, match="runing_var"):
        stored(full_precision=["*.runing_var"])


@pytest.mark.parametrize("settings", [{"net": nn.Linear(1, 1)}, {"loss": float("nan")}])
def test_settings_that_are_no_json_are_refused_before_anything_is_written(settings):
    with pytest.raises(SettingsError, match="JSON"):
        stored(settings=settings)
    assert not catalogue.home().exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Upper", ".hidden", "a b", "x\n"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(SettingsError, match="cannot name a model"):
        stored(name)


def test_a_string_is_no_vocabulary():
    with pytest.raises(SettingsError, match="list of words"):
        stored(vocabulary="words.json")


# damage


def test_one_flipped_bit_is_detected():
    entry = stored()
    data = bytearray(entry.path.read_bytes())
    data[-1] ^= 1
    entry.path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"expected sha256 {entry.sha256}, found [0-9a-f]{{64}}"):
        store.read_tensors(entry)


def test_a_truncated_file_is_detected_and_its_size_told():
    entry = stored()
    entry.path.write_bytes(entry.path.read_bytes()[:10])
    with pytest.raises(WeightsError, match=r"damaged or incomplete.*\(10 bytes\)"):
        store.read_tensors(entry)


def test_a_missing_file_is_listed_with_size_zero_and_named_when_read():
    stored().path.unlink()
    entry = catalogue.find("captioner", "mine")
    assert entry.size == 0
    with pytest.raises(WeightsError, match=re.escape(str(entry.path))):
        store.read_tensors(entry)


def test_a_pickle_is_never_read_even_with_the_right_checksum():
    entry = stored()
    torch.save({"weight": torch.zeros(1)}, entry.path)
    edit(manifest(), "captioner/mine", sha256=sha256(entry.path))
    with pytest.raises(WeightsError, match="safetensors"):
        store.read_tensors(catalogue.find("captioner", "mine"))


def test_another_vocabulary_than_the_one_trained_with_is_detected():
    entry = stored(vocabulary=WORDS)
    entry.vocabulary.write_text(json.dumps(WORDS[::-1]))
    with pytest.raises(WeightsError, match="trained with"):
        store.read_vocabulary(entry)


def test_other_line_ends_leave_a_vocabulary_valid():
    entry = stored(vocabulary=WORDS)
    entry.vocabulary.write_bytes(entry.vocabulary.read_bytes().replace(b"\n", b"\r\n"))
    assert store.read_vocabulary(entry).words == WORDS


def test_the_remedy_fits_the_folder():
    shipped, own = stored("shipped", folder=catalogue.SHIPPED), stored("own")
    for entry in (shipped, own):
        entry.path.write_bytes(b"")
    with pytest.raises(WeightsError, match="git checkout"):
        store.read_tensors(shipped)
    with pytest.raises(WeightsError, match="import or download"):
        store.read_tensors(own)


# manifests


def test_listing_reads_no_weights():
    stored().path.write_bytes(b"garbage")
    assert [entry.name for entry in catalogue.entries("captioner")] == ["mine"]


def test_kinds_have_names_of_their_own():
    stored(kind="captioner", settings={"is": "captioner"})
    stored(kind="generator", settings={"is": "generator"})
    assert [entry.kind for entry in catalogue.entries()] == ["captioner", "generator"]
    assert catalogue.find("generator", "mine").settings == {"is": "generator"}


def test_an_unknown_name_is_answered_with_the_nearest_and_all_names():
    stored("flickr8k")
    stored("coco")
    stored("birds", kind="generator")
    with pytest.raises(UnknownModelError, match=r"'flikr8k'.*Did you mean 'flickr8k'\? Available: coco, flickr8k\.$"):
        catalogue.find("captioner", "flikr8k")


def test_an_unknown_kind_is_answered_with_the_kinds():
    for ask in (catalogue.entries, lambda kind: catalogue.find(kind, "x"), lambda kind: stored(kind=kind)):
        with pytest.raises(UnknownModelError, match="captioner, generator, damsm, judge, embedding, extractor, axes"):
            ask("painter")


def test_a_missing_home_is_empty_but_a_missing_shipped_manifest_is_an_error():
    assert catalogue.entries() == []
    manifest(catalogue.SHIPPED).unlink()
    with pytest.raises(WeightsError, match=r"missing.*pip install -e"):
        catalogue.entries()


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"format": 1, "mod',
        "[]",
        '{"format": 1}',
        '{"format": 1, "models": []}',
        '{"format": 1, "models": {"captioner/x": 3}}',
        '{"format": 2, "models": {}}',
        '{"format": 1, "models": {"x": {"kind": "captioner", "file": "x"}}}',
        '{"format": 1, "models": {"captioner/x": {"kind": "judge", "file": "x"}}}',
        '{"format": 1, "models": {"captioner/x": {"kind": "captioner"}}}',
        '{"format": 1, "models": {"captioner/x": {"kind": "captioner", "file": "x", "settings": 3}}}',
        "\udcff",
    ],
)
@pytest.mark.parametrize("where", ["home", "shipped"])
def test_a_damaged_manifest_is_named(text, where, tmp_path):
    path = tmp_path / where / "manifest.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        catalogue.entries()


@pytest.mark.parametrize("part", ["file", "vocabulary"])
@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "a/../../secret", ".", "", "link", "nul\0"])
def test_a_manifest_cannot_point_outside_its_folder(part, place, tmp_path):
    (tmp_path / "secret").write_text("[]")
    stored()
    (catalogue.home() / "link").symlink_to(tmp_path / "secret")
    edit(manifest(), "captioner/mine", **{part: place})
    with pytest.raises(WeightsError, match=r"not inside that folder|a file name"):
        catalogue.entries()


def test_a_vocabulary_may_stand_in_the_manifest_itself():
    stored()
    edit(manifest(), "captioner/mine", vocabulary=WORDS)
    assert store.read_vocabulary(catalogue.find("captioner", "mine")).words == WORDS


def test_a_model_without_words_has_no_vocabulary():
    assert store.read_vocabulary(stored()) is None


def test_mutated_manifests_are_refused_or_shown(tmp_path):
    stored(vocabulary=WORDS, quality={"bleu": 0.5}, description="small", licence="MIT")
    good, mutate = json.loads(manifest().read_text()), Mutations(1)
    refused = 0
    for _ in range(TIMES):
        manifest().write_bytes(mutate(good))
        try:
            table = ModelTable(catalogue.entries())
        except WeightsError as error:
            assert str(manifest()) in str(error)
            refused += 1
            continue
        assert "<img" not in table._repr_html_() and "\x1b" not in repr(table)
        for entry in table:
            with contextlib.suppress(WeightsError):
                store.read_vocabulary(entry)
                store.read_tensors(entry)
    assert TIMES / 3 < refused < TIMES


def test_listing_models_needs_no_torch():
    code = "import sys; from telephonegan.zoo import catalogue; catalogue.entries(); sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


# clashes


def test_a_taken_name_is_refused_and_the_first_model_kept():
    first = stored(settings={"first": True})
    before = contents(catalogue.home())
    with pytest.raises(SettingsError, match=r"already exists.*replace=True"):
        stored(tensors={"weight": torch.ones(9)})
    assert contents(catalogue.home()) == before
    assert catalogue.find("captioner", "mine") == first


def test_replacing_leaves_only_the_new_files():
    stored(vocabulary=WORDS)
    other = stored("other", vocabulary=WORDS[:3])
    new = stored(tensors={"weight": torch.ones(9)}, vocabulary=["<pad>", "cat"], replace=True)
    assert catalogue.find("captioner", "mine") == new
    kept = {"manifest.json", *(part.name for entry in (new, other) for part in (entry.path, entry.vocabulary))}
    assert contents(catalogue.home()).keys() == kept


def test_a_shipped_name_cannot_be_taken_even_with_replace():
    stored(folder=catalogue.SHIPPED)
    with pytest.raises(SettingsError, match="shipped"):
        stored(replace=True)


def test_a_name_that_was_shipped_later_is_not_shadowed_silently():
    stored()
    shipped = stored(folder=catalogue.SHIPPED)
    with pytest.warns(UserWarning, match="captioner/mine"):
        assert catalogue.find("captioner", "mine") == shipped


# crashes and company


@pytest.mark.parametrize("stop", ["safetensors", "vocabulary", "manifest"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_replacement_leaves_the_folder_as_it_was(stop, error, monkeypatch):
    entry = stored(vocabulary=WORDS)
    before = contents(catalogue.home())
    replace = os.replace

    def failing(source, target):
        if stop in str(target):
            raise error
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises((OutputError, KeyboardInterrupt)):
        patch.setattr(os, "replace", failing)
        stored(tensors={"weight": torch.ones(9)}, vocabulary=["<pad>", "cat"], replace=True)
    assert contents(catalogue.home()) == before
    assert store.read_tensors(entry).keys() == network().state_dict().keys()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=re.escape(str(tmp_path / "file"))):
        stored(folder=tmp_path / "file" / "below")


def test_a_process_that_is_killed_while_it_registers_keeps_nobody_out(monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    stored()
    lock = catalogue.home() / ".manifest.lock"
    with holding(lock) as other:
        with pytest.raises(OutputError, match=re.escape(str(lock.parent))):
            stored("second")
        other.kill()
        other.wait()
        stored("second")


def test_processes_that_register_at_once_lose_no_entry():
    script = """
import sys, torch
from telephonegan.zoo import store
for number in range(5):
    store.register("judge", f"{sys.argv[1]}-{number}", {"w": torch.ones(2)}, architecture="tiny", settings={})
"""
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(who)], cwd=Path(__file__).resolve().parents[2])
        for who in range(3)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    names = {entry.name for entry in catalogue.entries("judge")}
    assert names == {f"{who}-{number}" for who in range(3) for number in range(5)}


# strict loading


def test_strict_loading_copies_and_returns_the_module():
    source, target = network(), network()
    nn.init.constant_(source[0].weight, 7.0)
    assert store.load_strict(target, source.state_dict()) is target
    assert torch.equal(target[0].weight, source[0].weight)


def test_strict_loading_names_what_does_not_fit_and_changes_nothing():
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tensors = dict(before) | {"0.bias": torch.zeros(9), "extra": torch.zeros(1), "1.bias": torch.full((4,), 5.0)}
    del tensors["0.weight"]
    with pytest.raises(WeightsError) as raised:
        store.load_strict(module, tensors)
    message = str(raised.value)
    assert "1 missing: 0.weight" in message
    assert "1 unexpected: extra" in message
    assert "0.bias (file (9,), network (4,))" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_strict_loading_of_another_network_lists_only_a_few_names():
    with pytest.raises(WeightsError, match=r"20 unexpected: n0, n1, n2, n3, n4 and 15 more"):
        store.load_strict(nn.Identity(), {f"n{number}": torch.zeros(1) for number in range(20)})


# the home folder


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG folders are those of Linux")
def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("TELEPHONEGAN_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert catalogue.home() == tmp_path / "telephonegan"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert catalogue.home() == Path.home() / ".cache" / "telephonegan"
    monkeypatch.setenv("TELEPHONEGAN_HOME", "~/models")
    assert catalogue.home() == Path.home() / "models"


def without_home(monkeypatch, tmp_path):
    """As for a user without a passwd entry: `docker run --user 12345`."""

    def nobody(*_):
        raise RuntimeError("Could not determine home directory.")

    for name in ("TELEPHONEGAN_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    catalogue._temporary_home.cache_clear()


def test_a_user_without_a_home_folder_gets_a_temporary_one_and_is_warned(monkeypatch, tmp_path):
    without_home(monkeypatch, tmp_path)
    with pytest.warns(UserWarning, match="TELEPHONEGAN_HOME"):
        home = catalogue.home()
    assert home.parent == tmp_path and home.stat().st_mode & 0o777 == 0o700
    assert catalogue.home() == home  # said once
    catalogue._temporary_home.cache_clear()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no user numbers here")
def test_a_temporary_folder_that_others_prepared_is_not_used(monkeypatch, tmp_path):
    without_home(monkeypatch, tmp_path)
    prepared = tmp_path / f"telephonegan-{os.getuid()}"
    prepared.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.warns(UserWarning, match="TELEPHONEGAN_HOME"):
        assert catalogue.home() not in (prepared, tmp_path / "elsewhere")
    catalogue._temporary_home.cache_clear()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become a user without a name")
def test_models_are_listed_for_a_user_without_a_passwd_entry():
    code = "import os, telephonegan as tg; tg.models(); os.setuid(54321); tg.models()"
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"TMPDIR": open_to_all},
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f"{open_to_all}/telephonegan-54321" in done.stderr
