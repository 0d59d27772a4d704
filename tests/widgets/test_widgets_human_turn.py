import pytest

import telephonegan as tg
from telephonegan.chains import Chain
from telephonegan.errors import SettingsError, TextError
from telephonegan.results import PERSON
from telephonegan.widgets import HumanTurn


@pytest.fixture
def phone(tiny):
    return tg.load(captioner=tiny, generator=tiny, device="cpu")


@pytest.fixture
def turn(phone):
    return HumanTurn(phone.play(text="a red dog runs", rounds=1, progress=False), phone)


def test_what_a_person_says_is_the_next_caption_and_is_stored_as_theirs(turn, tmp_path):
    machine = turn._next.caption
    done = turn.say("two people  in the snow")
    assert (done.index, done.caption.text, done.caption.model) == (2, "two people in the snow", PERSON)
    assert done.caption.words == ["two", "people", "in", "the", "snow"] and done.caption.log_probability is None
    assert done.caption.alternatives[0] == (machine.text, machine.log_probability)
    turn.chain.save(tmp_path / "chain")
    models = [round_.caption.model for round_ in Chain.load(tmp_path / "chain")]
    assert models[-1] == PERSON and PERSON not in models[:-1]


def test_the_next_picture_is_of_what_the_person_said(turn, phone):
    before = turn._picture.value
    turn.say("two people in the snow")
    assert turn._picture.value != before
    assert turn._next.picture.text == "two people in the snow"
    turn.say("a dog")
    assert len(turn.chain) == 4 and turn.chain.is_complete


def test_sentences_are_offered_in_an_order_that_does_not_tell(turn, phone):
    offered = turn.offered()
    assert turn._next.caption.text in offered and offered == turn.offered()
    assert [button.description for button in turn._choices.children] == offered
    said = []
    turn.on_round = said.append
    turn._choices.children[-1].click()
    assert turn.chain[-1].caption.text == offered[-1] and said == [turn.chain]


def test_a_sentence_nobody_can_paint_is_explained_and_changes_nothing(turn):
    with pytest.raises(TextError, match="no word that the generator knows"):
        turn.say("xyzzy")
    turn._line.value = "xyzzy"
    turn._say.click()
    assert "Say it in other words" in turn._note.value and len(turn.chain) == 2


def test_a_chain_of_other_models_is_refused(phone):
    with pytest.raises(SettingsError, match="has begun"):
        HumanTurn(Chain("a dog", models=phone.models), phone)
