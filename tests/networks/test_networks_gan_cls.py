import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.networks.gan_cls import Discriminator, Generator


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_small_networks_have_the_published_number_of_parameters():
    assert (count(Generator()), count(Discriminator())) == (4_756_736, 2_899_072)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("size", [16, 64])
def test_pictures_of_every_size_are_painted_and_judged(residual, size):
    how = {"channels": 4, "size": size, "embedding_width": 6, "text_width": 5, "residual": residual}
    pictures = Generator(**how, noise_width=3)(torch.randn(2, 3), torch.randn(2, 6))
    assert pictures.shape == (2, 3, size, size) and pictures.abs().max() <= 1
    logits, features = Discriminator(**how)(pictures, torch.randn(2, 6))
    assert logits.shape == (2,) and features.shape[2:] == (4, 4)


def test_the_authors_own_networks_have_bottlenecks_of_a_quarter_of_the_channels():
    generator = Generator(channels=128, residual=True, text_norm=False)
    shapes = [tuple(part.weight.shape) for part in generator.layers.modules() if isinstance(part, torch.nn.Conv2d)]
    assert shapes == [
        *((256, 1024, 1, 1), (256, 256, 3, 3), (1024, 256, 3, 3)),
        *((128, 512, 1, 1), (128, 128, 3, 3), (512, 128, 3, 3)),
    ]


def test_minibatch_features_see_that_all_pictures_of_a_batch_are_alike():
    torch.manual_seed(0)
    network = Discriminator(channels=4, size=16, embedding_width=6, minibatch_features=3).eval()
    told = []
    network.minibatch.register_forward_hook(lambda module, given, found: told.append(found))
    alike, sentences = torch.randn(1, 3, 16, 16).expand(4, -1, -1, -1), torch.zeros(4, 6)
    network(alike, sentences)
    network(100 * torch.randn(4, 3, 16, 16), sentences)
    assert torch.allclose(told[0], torch.full((4, 3), 3.0), atol=1e-4)
    assert (told[1] < told[0]).all()


@pytest.mark.parametrize("size", [4, 48])
def test_sizes_other_than_powers_of_two_are_refused(size):
    with pytest.raises(SettingsError, match="8, 16, 32"):
        Generator(size=size)


def test_the_first_linear_map_is_what_noise_adds_to_the_first_layer():
    net = Generator(channels=2, size=16, noise_width=5, embedding_width=6, text_width=4).eval()
    net.layers[1].running_var.fill_(4.0)
    noise, sentences = torch.randn(3, 5), net.text(torch.randn(3, 6))

    def first(part):
        return net.layers[1](net.layers[0](torch.cat([sentences, part], 1)[:, :, None, None])).flatten(1)

    added = first(noise) - first(torch.zeros(3, 5))
    torch.testing.assert_close(noise @ net.first_linear().T, added, atol=1e-5, rtol=1e-4)
