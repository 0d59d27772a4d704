"""The command line: what it prints, what it keeps, how it stops, and what it says to mistakes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import telephonegan as tg
from telephonegan.cli import main as cli
from telephonegan.cli import play
from telephonegan.cli.options import open_picture
from telephonegan.samples import sample, samples
from telephonegan.zoo.worlds import World
from tests.locking import holding
from tests.tiny import register_tiny

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--captioner=tiny", "--generator=tiny", "--device=cpu"]


@pytest.fixture(autouse=True)
def workplace(tiny, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def program(no_shipped_models) -> list[str]:
    """The command as a process of its own, with the tiny models alone."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; "
        "from telephonegan.cli.main import main; from telephonegan.zoo import catalogue; "
        f"catalogue.SHIPPED = Path({str(no_shipped_models)!r}); sys.exit(main())"
    )
    return [sys.executable, "-c", script]


@pytest.fixture
def error(capsys):
    """Runs a command that must fail, and returns what it says."""

    def run(*arguments: str) -> str:
        try:
            code = cli.main([*arguments])
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr().err
        assert code == 2
        assert "Traceback" not in said
        return said

    return run


def saved_pictures(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_one_picture_gives_one_plain_line(capsys):
    assert cli.main(["caption", "coffee", "--captioner=tiny"]) == 0
    caption = tg.caption(sample("coffee"), captioner="tiny").text
    assert capsys.readouterr().out == f"{caption}\n"


def test_several_pictures_are_named(capsys):
    cli.main(["caption", "coffee", "chelsea", "--captioner=tiny"])
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == ["coffee", "chelsea"]


def test_json_tells_everything(capsys):
    cli.main(["caption", "--json", "coffee", "--captioner=tiny"])
    [record] = json.loads(capsys.readouterr().out)
    assert record["image"] == "coffee"
    assert len(record["probabilities"]) == len(record["words"])
    assert record["alternatives"] and record["log_probability"] < 0


def test_a_file_goes_before_a_sample_of_its_name(workplace):
    shutil.copy(samples()["chelsea"], workplace / "coffee")
    assert open_picture("coffee").tobytes() == sample("chelsea").tobytes()


def test_captions_of_many_pictures_are_printed_batch_by_batch(workplace, capsys, monkeypatch):
    monkeypatch.setattr("telephonegan.cli.caption._BATCH", 2)
    sample("coffee").save(workplace / "mine.png")
    names = ["coffee", "mine.png", "chelsea"]
    assert cli.main(["caption", *names, "--captioner=tiny", "--device=cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"{name}: {tg.caption(open_picture(name), captioner='tiny').text}" for name in names]
    assert cli.main(["caption", "--json", *names, "--captioner=tiny", "--device=cpu"]) == 0
    assert [each["image"] for each in json.loads(capsys.readouterr().out)] == names


def test_of_several_pictures_the_bad_ones_are_listed_and_the_others_captioned(workplace, capsys, monkeypatch):
    monkeypatch.setattr("telephonegan.cli.caption._BATCH", 1)
    Path("broken.jpg").write_bytes(b"no picture")
    names = ["coffee", "broken.jpg", "nowhere.jpg", "coffee"]
    assert cli.main(["caption", *names, "--captioner=tiny", "--device=cpu"]) == 2
    told = capsys.readouterr()
    text = tg.caption(sample("coffee"), captioner="tiny").text
    assert told.out.splitlines() == [f"coffee: {text}"] * 2
    skipped = [line for line in told.err.splitlines() if line.startswith("Skipped")]
    assert [line.split()[1] for line in skipped] == ["broken.jpg:", "nowhere.jpg:"]
    assert cli.main(["caption", "--json", *names, "--captioner=tiny", "--device=cpu"]) == 2
    assert [each["image"] for each in json.loads(capsys.readouterr().out)] == ["coffee", "coffee"]


def test_pictures_are_opened_at_the_size_at_which_they_are_captioned(workplace):
    Image.new("RGB", (3000, 1500)).save(workplace / "large.png")
    assert open_picture("large.png").size == (1024, 512)


def test_generated_pictures_go_to_a_new_folder(capsys):
    assert cli.main(["generate", "a zebra and a dog", "-n", "2", "--seed=3", "--generator=tiny", "--out=new"]) == 0
    assert {"seed-3.png", "seed-4.png", "strip.png", "pictures.json"} == {path.name for path in Path("new").iterdir()}
    assert [record["seed"] for record in json.loads(Path("new/pictures.json").read_text())] == [3, 4]
    said = capsys.readouterr()
    assert "zebra" in said.err and said.out.strip() == "new/strip.png"


def test_a_word_is_sent_to_the_world_that_knows_it(capsys, error, monkeypatch):
    monkeypatch.setattr("telephonegan.zoo.worlds.worlds", lambda: [World("birds")])
    monkeypatch.setattr("telephonegan.zoo.worlds._words", lambda world: frozenset(["penguin", "dog"]))
    assert cli.main(["generate", "a dog and a penguin", "--generator=tiny"]) == 0
    assert "Not known here, so not painted: and, penguin (birds knows it)\n" in capsys.readouterr().err
    assert "Other worlds know more: penguin (birds knows it)." in error("generate", "penguin", "--generator=tiny")
    assert "Other worlds" not in error("generate", "zebra", "--generator=tiny")
    picture = tg.generate("a dog and a penguin", generator="tiny")
    assert picture.dropped_words == ["and", "penguin"]
    assert "not known here: and, penguin (birds knows it)" in picture._repr_html_()


def test_a_game_is_printed_and_kept(capsys):
    assert cli.main(["play", "--image=coffee", "--rounds=2", "--seed=1", *TINY]) == 0
    [folder] = Path("out").iterdir()
    assert folder.name.endswith("-coffee")
    chain = tg.Chain.load(folder)
    lines = [f"{step.index:2}  {step.caption}" for step in chain]
    assert capsys.readouterr().out.splitlines() == [*lines, f"{folder}/strip.png"]
    again = tg.play(image=sample("coffee"), rounds=2, seed=1, captioner="tiny", generator="tiny", progress=False)
    assert saved_pictures(again.save("again")) == saved_pictures(folder)


def test_without_wishes_a_sample_photograph_is_played():
    cli.main(["play", "--rounds=1", *TINY])
    [folder] = Path("out").iterdir()
    assert tg.Chain.load(folder)[0].picture.image.tobytes() == sample(play.DEFAULT_PICTURE).tobytes()


def test_a_temperature_alone_draws_the_words():
    cli.main(["play", "--text=a dog", "--rounds=1", "--temperature=0.8", "--out=game", *TINY])
    settings = tg.Chain.load("game").settings
    assert (settings.method, settings.temperature) == ("sample", 0.8)


def test_a_finished_game_can_be_made_longer(capsys):
    cli.main(["play", "--image=coffee", "--rounds=1", "--out=short", *TINY])
    cli.main(["play", "--image=coffee", "--rounds=3", "--out=long", *TINY])
    assert cli.main(["play", "--resume=short", "--rounds=3"]) == 0
    assert saved_pictures(Path("short")) == saved_pictures(Path("long"))
    capsys.readouterr()
    assert cli.main(["play", "--resume=short"]) == 0
    assert "All 3 rounds are there" in capsys.readouterr().out


def test_a_gif_and_a_page_are_written_on_request_and_follow_the_game(capsys):
    cli.main(["play", "--image=coffee", "--rounds=1", "--out=game", "--gif", "--html", *TINY])
    assert capsys.readouterr().out.splitlines()[-2:] == ["game/game.gif", "game/game.html"]
    assert Image.open("game/game.gif").n_frames == 2
    short = Path("game/game.html").read_text()
    assert cli.main(["play", "--resume=game", "--rounds=2"]) == 0
    assert Path("game/game.html").read_text() != short and Image.open("game/game.gif").n_frames == 3


def test_a_game_that_another_process_plays_is_left_alone(capsys):
    cli.main(["play", "--image=coffee", "--rounds=1", "--out=game", *TINY])
    assert not (Path("game") / play.LOCK).exists()
    before = {path: path.read_bytes() for path in Path("game").rglob("*.*") if path.is_file()}
    capsys.readouterr()
    with holding(Path("game").absolute() / play.LOCK):
        assert cli.main(["play", "--resume=game", "--rounds=2"]) == 2
    assert "Another process is working in game" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert cli.main(["play", "--resume=game", "--rounds=2"]) == 0


@pytest.mark.parametrize("command", [
    *("caption", "generate", "play", "sample", "train", "experiment run", "experiment summary", "data name"),
    *("data caption", "evaluate captioner", "evaluate nearest", "evaluate damsm", "evaluate generator"),
    *("evaluate words", "evaluate cycle"),
])  # fmt: skip
def test_every_command_that_computes_takes_threads(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    assert "--threads" in capsys.readouterr().out


def test_threads_are_set_before_a_command_computes(monkeypatch, capsys):
    threads = []
    monkeypatch.setattr("telephonegan.inference.use_threads", threads.append)
    assert cli.main(["caption", "coffee", "--threads=3", "--captioner=tiny"]) == 0
    assert threads == [3]


def test_threads_that_cannot_be_are_an_explained_error(capsys):
    assert cli.main(["caption", "coffee", "--threads=0"]) == 2
    assert "threads must be a whole number from 1 to 1024; 0 was given" in capsys.readouterr().err


def test_what_a_game_from_somebody_else_says_does_not_reach_the_terminal_raw(capsys):
    cli.main(["play", "--text=a dog", "--rounds=1", "--out=game", *TINY])
    manifest = Path("game") / "chain.json"
    manifest.write_text(manifest.read_text().replace('"text": "a dog"', '"text": "a dog\\u001b[2J\\u009b31m"'))
    capsys.readouterr()
    assert cli.main(["play", "--resume=game", "--rounds=2"]) == 0
    said = capsys.readouterr()
    assert "a dog\\x1b[2J\\x9b31m" in said.out and not {"\x1b", "\x9b"} & {*said.out, *said.err}


@pytest.mark.parametrize(("sent", "interrupt"), [
    (signal.SIGINT, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_IGN),  # as in the background of a shell
])  # fmt: skip
def test_ctrl_c_and_sigterm_keep_the_rounds_and_resuming_changes_nothing(program, workplace, sent, interrupt):
    game = subprocess.Popen(
        # Another number of threads adds up in another order, which a grey level may show.
        [*program, "play", "--image=coffee", "--rounds=1000", "--out=it's", "--threads=1", *TINY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),
    )
    while not game.stdout.readline().startswith(" 2"):
        assert game.poll() is None
    game.send_signal(sent)
    _, said = game.communicate(timeout=60)
    assert game.returncode == 128 + sent
    assert "Traceback" not in said
    assert "telephonegan play --resume='it'\"'\"'s'" in said
    kept = len(tg.Chain.load("it's"))
    assert kept >= 3 and Path("it's/strip.png").exists()

    assert cli.main(["play", "--resume=it's", f"--rounds={kept + 1}"]) == 0
    assert cli.main(["play", "--image=coffee", f"--rounds={kept + 1}", "--out=whole", *TINY]) == 0
    assert saved_pictures(Path("it's")) == saved_pictures(Path("whole"))
    one, other = tg.Chain.load("it's"), tg.Chain.load("whole")
    assert [c.text for c in one.captions] == [c.text for c in other.captions]


def test_a_disk_that_fills_up_keeps_the_rounds_before(error, monkeypatch):
    write = Path.write_bytes

    def fills_up(self, content):
        if "03.png" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fills_up)
        said = error("play", "--image=coffee", "--rounds=5", "--out=game", *TINY)
    assert "No space left" in said and "--resume=game" in said
    assert len(tg.Chain.load("game")) == 3
    assert not [path for path in Path("game").rglob("*partial*")]


@pytest.mark.parametrize(("arguments", "expected"), [
    (["caption", "nowhere.jpg"], "nowhere.jpg"),
    (["caption", "chelsee"], "chelsea"),
    (["caption", "."], "folder"),
    (["caption", "empty"], "empty"),
    (["caption", "coffee", "--captioner=huge"], "tiny"),
    (["caption", "coffee"], "flickr8k"),
    (["caption", "coffee", "--captioner=tiny", "--device=gpu"], "auto, cpu"),
    (["caption", "coffee", "--captioner=tiny", "--method=guess"], "beam, greedy, sample"),
    (["caption", "coffee", "--captioner=tiny", "--method=beam", "--temperature=2"], "sample"),
    (["generate", "", "--generator=tiny"], "no word"),
    (["generate", "zebra", "--generator=tiny"], "zebra"),
    (["generate", "a dog", "--generator=tiny", "-n=0"], "n must be"),
    (["generate", "a dog", "--generator=tiny", "--truncation=-1"], "truncation"),
    (["generate", "a dog", "--generator=tiny", "--out=taken"], "taken"),
    (["generate", "a dog", "--generator=tiny", "--out=empty/new"], "empty/new"),
    (["play", "--text=", *TINY], "no word"),
    (["play", "--text=a dog", "--image=coffee", *TINY], "--image or --text"),
    (["play", "--image=", *TINY], "''"),
    (["play", "--image=nowhere.jpg", *TINY], "nowhere.jpg"),
    (["play", "--text=a dog", "--rounds=0", *TINY], "1 to 1000"),
    (["play", "--text=a dog", "--rounds=-3", *TINY], "1 to 1000"),
    (["play", "--text=a dog", "--rounds=1001", *TINY], "1 to 1000"),
    (["play", "--text=a dog", "--rounds=many", *TINY], "whole number"),
    (["play", "--text=a dog", "--rounds=", *TINY], "whole number"),
    (["play", "--text=a dog", "--seed=-1", *TINY], "seed"),
    (["play", "--text=a dog", "--temperature=warm", *TINY], "number"),
    (["play", "--text=a dog", "--out=taken", *TINY], "taken"),
    (["play", "--resume=nowhere"], "nowhere"),
    (["play", "--resume=taken"], "chain.json"),
    (["play", "--resume=taken", "--seed=3", "--text=a"], "--text, --seed"),
    (["download", "everything"], "coco-samples"),
    (["dance"], "dance"),
    ([], "COMMAND"),
])  # fmt: skip
def test_mistakes_are_explained_in_one_line_and_leave_nothing(workplace, error, arguments, expected):
    (workplace / "taken").mkdir()
    (workplace / "empty").touch()
    said = error(*arguments)
    assert expected in said and (said.startswith("telephonegan: ") or "error: " in said)
    assert len(said.splitlines()) == 1 or "error: " in said
    assert sorted(path.name for path in workplace.iterdir()) == ["empty", "taken"]


@pytest.mark.parametrize("text", ["a dog \udcff", "a\0dog", "<b>a dog</b> 🐕‍🦺", "dog " * 10_000])
def test_a_strange_text_plays_like_any_other(text):
    assert cli.main(["play", f"--text={text}", "--rounds=1", "--out=game", *TINY]) == 0
    assert tg.Chain.load("game").source == text


def test_a_damaged_weight_file_is_explained(error):
    register_tiny("damaged", seed=3)
    [entry] = [entry for entry in tg.models("captioner") if entry.name == "damaged"]
    entry.path.write_bytes(entry.path.read_bytes()[:-1])
    said = error("caption", "coffee", "--captioner=damaged")
    assert "sha256" in said and str(entry.path) in said


def test_models_are_listed(capsys):
    assert cli.main(["models"]) == 0
    assert "tiny" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["tiny", "damsm/tiny"])
def test_all_that_is_known_of_a_model_is_told(capsys, name):
    assert cli.main(["models", name]) == 0
    said = capsys.readouterr().out
    wanted = [entry for entry in tg.models() if name in (entry.name, f"{entry.kind}/{entry.name}")]
    titles = [line for line in said.splitlines() if line and not line.startswith(" ")]
    worlds = [f"{name}: a world of four models"] if len(wanted) == 4 else []
    assert titles == [*worlds, *(f"{entry.kind}/{entry.name}" for entry in wanted)]
    assert len(wanted) == 1 or name == "tiny"
    for entry in wanted:
        assert entry.sha256 in said and str(entry.path) in said


def test_an_unknown_model_lists_those_there_are(error):
    assert "tiny" in error("models", "huge")


@pytest.mark.parametrize(("arguments", "name"), [
    (["caption", "coffee", "--captioner=yunjey"], "yunjey"),
    (["generate", "a dog", "--generator=attngan-bird"], "attngan-bird"),
])  # fmt: skip
def test_a_model_that_can_be_downloaded_is_told_how(error, arguments, name):
    assert f"telephonegan download {name}." in error(*arguments)


def test_a_captioner_is_not_offered_as_a_generator(error):
    assert "download" not in error("generate", "a dog", "--generator=yunjey")


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"telephonegan {tg.__version__}\n"


def test_a_reader_that_goes_away_is_no_error(program):
    listing = subprocess.Popen([*program, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    listing.stdout.close()
    said = listing.stderr.read()
    listing.stderr.close()
    assert listing.wait(60) == 1
    assert said == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_explained(program):
    with open("/dev/full", "w") as full:
        listing = subprocess.run([*program, "models"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert listing.returncode == 2
    assert listing.stderr == "telephonegan: the output cannot be written: No space left on device.\n"


def test_a_game_that_went_silent_says_so_and_stays_so(capsys, monkeypatch):
    monkeypatch.setattr("telephonegan.generation.Generator.knows", lambda self, text: text == "a dog and a zebra")
    assert cli.main(["play", "--text=a dog and a zebra", "--out=game", *TINY]) == 0
    said = capsys.readouterr().err
    assert "silent after round 1" in said and "not painted: and, zebra" in said
    assert cli.main(["play", "--resume=game", "--rounds=20"]) == 0
    assert "silent after round 1" in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    examples = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  telephonegan ")]
    assert len(examples) >= 5


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "-h"], ["models"], ["models", "fashion"]])
def test_what_computes_nothing_loads_no_torch(arguments):
    script = (
        "import sys; from telephonegan.cli.main import main\n"
        f"try: assert main({arguments!r}) == 0\n"
        "except SystemExit as stop: assert not stop.code\n"
        "sys.exit('torch' in sys.modules and 'torch is loaded')"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_table_of_models_needs_no_numbers_or_pictures():
    script = (
        "import sys; from telephonegan.cli.main import main\n"
        "assert main(['models', 'fashion']) == 0\n"
        "sys.exit(', '.join({'numpy', 'PIL'} & {*sys.modules}) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_every_example_of_the_help_is_understood():
    import shlex

    modules = [sys.modules[run.__module__] for _, run, _ in cli._COMMANDS.values()]
    texts = [module._EXAMPLES.replace("\\\n", " ") for module in (cli, *modules) if hasattr(module, "_EXAMPLES")]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("  telephonegan ")]
    assert len(lines) > 40
    for line in lines:
        words = shlex.split(line.partition(">")[0])
        assert cli._parser().parse_args(words[1:]).run


def test_the_way_to_go_on_names_the_program_as_it_was_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["my env/bin/telephonegan", "play"])
    assert play._program() == "'my env/bin/telephonegan'"
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert play._program() == "telephonegan"


def test_a_game_tells_the_name_of_its_photograph():
    sample("coffee").save("mine.png")
    cli.main(["play", "--image=mine.png", "--rounds=1", "--out=game", *TINY])
    assert json.loads(Path("game/chain.json").read_text())["source"]["name"] == "mine.png"


def test_a_folder_for_the_measurement_is_looked_for_before_measuring(capsys):
    assert cli.main(["evaluate", "captioner", "--data=nowhere", "--out=missing/scores.jsonl"]) == 2
    assert "missing is not a folder" in capsys.readouterr().err
