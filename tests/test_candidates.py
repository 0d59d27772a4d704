import pytest
import torch
from torch.nn import functional as F

from telephonegan.candidates import candidate_seeds
from telephonegan.errors import SettingsError
from telephonegan.generation import Generator
from telephonegan.images import to_tensor
from telephonegan.matcher import Matcher
from telephonegan.painting import AttnGANPainter
from tests.tiny import NAME


@pytest.fixture
def generator(registered):
    return Generator.load(NAME, "cpu")


def test_the_first_candidate_is_the_seed_itself_and_none_is_shared_with_a_neighbour():
    assert candidate_seeds(5, 1) == [5]
    assert candidate_seeds(5, 3)[0] == 5
    assert not set(candidate_seeds(5, 8)) & set(candidate_seeds(6, 8))


def test_more_candidates_begin_with_the_fewer():
    assert candidate_seeds(5, 8)[:3] == candidate_seeds(5, 3)


def test_the_chosen_picture_is_the_best_match_in_the_teachers_eyes(generator):
    text = "a brown dog on the beach"
    (chosen,) = generator([text], seeds=[3], candidates=6)
    painted = generator([text] * 6, seeds=candidate_seeds(3, 6))
    judge = Matcher.load(f"damsm/{NAME}")
    codes = judge.see(to_tensor([picture.image for picture in painted], 16)).codes
    scores = F.cosine_similarity(codes, judge.read([text.split()]))
    assert scores.std() > 0
    assert chosen.seed == painted[int(scores.argmax())].seed


def test_the_chosen_seed_paints_the_picture_again(generator):
    (chosen,) = generator(["a red ball"], seeds=[0], candidates=4)
    (again,) = generator(["a red ball"], seeds=[chosen.seed])
    difference = to_tensor([chosen.image], 16) - to_tensor([again.image], 16)
    assert difference.abs().max() <= 2 / 127.5


def test_texts_do_not_change_each_others_choice(generator):
    together = generator(["a red ball", "two people in the snow"], seeds=[0, 1], candidates=4)
    alone = generator(["two people in the snow"], seeds=[1], candidates=4)
    assert together[1].seed == alone[0].seed


@pytest.mark.parametrize("candidates", [0, 65, 2.5, True])
def test_a_number_that_is_none_is_told(generator, candidates):
    with pytest.raises(SettingsError, match="candidates"):
        generator(["a dog"], seeds=[0], candidates=candidates)


def test_a_generator_without_a_teacher_says_so(generator):
    painter = AttnGANPainter(generator.painter.network, generator.painter.matcher)
    bare = Generator(painter, name="bare")
    with pytest.raises(SettingsError, match="bare"):
        bare(["a dog"], seeds=[0], candidates=2)
    assert torch.is_tensor(bare.stages([bare.encode("a dog")], [0])[0][0])


def test_a_generator_keeps_one_teacher_in_memory(generator):
    assert generator.teacher() is generator.teacher()
