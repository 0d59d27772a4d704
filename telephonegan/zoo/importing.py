"""Importing published checkpoints as models of the user's own.

Everything is read and checked before anything is written. Weights keep full precision, so that an imported model
reproduces the published numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks import show_attend_tell
from telephonegan.networks.attngan import Generator
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.dfgan import DeepFusionGenerator
from telephonegan.networks.pggan import generator_of_variables
from telephonegan.networks.resnet import INPUT_SIZE
from telephonegan.text import END, PAD, START, UNKNOWN, Vocabulary
from telephonegan.zoo import catalogue, store
from telephonegan.zoo.legacy_pickles import read_captions, read_tf_networks, read_vocabulary
from telephonegan.zoo.pickled_modules import read_modules
from telephonegan.zoo.published import load_published, network_settings
from telephonegan.zoo.published_char_cnn_rnn import read_char_cnn_rnn
from telephonegan.zoo.published_ppgn import read_ppgn

_SAMPLED_WORDS = 19  # the published sampler takes 20 steps, the first of which yields the start marker
_TERMS = "as its authors published it; MIT for the code"

_GENERATOR_FILES = ("generator", "text_encoder", "dictionary")
_CAPTIONER_FILES = ("encoder", "decoder", "vocabulary")
_CHECKPOINT_FILES = ("checkpoint", "vocabulary")
_EMBEDDING_FILES = ("char_cnn_rnn",)
_PPGN_FILES = ("generator", "encoder")

Sources = Mapping[str, Mapping[str, str]]


def import_model(
    name: str,
    *,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
    **files: str | Path,
) -> list[catalogue.Entry]:
    """Register a model from its published files.

    `files` are those of `import_attngan` (generator, text_encoder, dictionary and perhaps image_encoder), of
    `import_captioner` (encoder, decoder, vocabulary), of `import_attending_captioner` (checkpoint, vocabulary), of
    `import_char_cnn_rnn` (char_cnn_rnn), of `import_pggan` (pggan) or of `import_ppgn` (generator and encoder, both
    ….caffemodel), by name. Raises SettingsError for files that do not belong together or are incomplete, and the errors
    of those six.

    >>> import_model("yunjey", encoder="encoder-5-3000.pkl", decoder="decoder-5-3000.pkl",
    ...              vocabulary="vocab.pkl")  # doctest: +SKIP
    """
    if files.keys() == {"pggan"}:
        return import_pggan(name, sources=sources, folder=folder, replace=replace, **files)
    if str(files.get("generator", "")).endswith(".caffemodel"):
        run, needed = import_ppgn, _PPGN_FILES
    elif files.keys() & {*_GENERATOR_FILES, "image_encoder"}:
        run, needed = import_attngan, _GENERATOR_FILES
    elif "char_cnn_rnn" in files:
        run, needed = import_char_cnn_rnn, _EMBEDDING_FILES
    elif "checkpoint" in files:
        run, needed = import_attending_captioner, _CHECKPOINT_FILES
    else:
        run, needed = import_captioner, _CAPTIONER_FILES
    if not files or files.keys() - {*needed, *(["image_encoder"] if run is import_attngan else [])}:
        raise SettingsError(
            f"Give {_options(_GENERATOR_FILES)} for a generator, {_options(_CAPTIONER_FILES)} for a captioner, "
            f"{_options(_CHECKPOINT_FILES)} for a captioner in a single file, {_options(_PPGN_FILES)} for PPGN's files "
            "(….caffemodel), or the file of a Char-CNN-RNN. Import one model at a time."
        )
    if missing := [part for part in needed if part not in files]:
        raise SettingsError(f"{_options(missing)} is missing: give {_options(needed)} together.")
    return run(name, **files, sources=sources, folder=folder, replace=replace)


def import_attngan(
    name: str,
    *,
    generator: str | Path,
    text_encoder: str | Path,
    dictionary: str | Path,
    image_encoder: str | Path | None = None,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> list[catalogue.Entry]:
    """Register a published generator and its text encoder, as generator/`name` and damsm/`name`.

    The generator may be an AttnGAN, DM-GAN or DF-GAN, which all use AttnGAN's text encoders. `dictionary` is the
    captions.pickle that the text encoder was trained with; `sources` records where the files came from and is stored
    with the model. Raises WeightsError for files that do not belong together, and the errors of `store.register`.

    >>> import_attngan("attngan-coco", generator="coco_AttnGAN2.pth", text_encoder="text_encoder100.pth",
    ...                dictionary="captions.pickle")  # doctest: +SKIP
    """
    painter, reader, vocabulary = read_attngan(generator, text_encoder, dictionary)
    seer = None if image_encoder is None else load_published(image_encoder, "image_encoder")
    if seer is not None:
        _check_widths("The image encoder writes codes", seer.emb_cnn_code.out_features, reader)
    network = _without_vocabulary(network_settings(reader))
    tensors = _prefixed("text_encoder", reader)
    settings: dict[str, Any] = {"text": network}
    if seer is not None:
        tensors |= _prefixed("image_encoder", seer)
        settings["image"] = network_settings(seer) | {"backbone": "inception"}
    origin = {"sources": {key: dict(value) for key, value in (sources or {}).items()}}
    models = [
        store.prepared(
            "generator",
            name,
            painter.state_dict(),
            architecture="dfgan" if isinstance(painter, DeepFusionGenerator) else "attngan",
            settings={"network": network_settings(painter), "damsm": name, "words_limit": None, **origin},
            description=f"published {_project(painter)}, {painter.size} px",
            licence=_TERMS,
            full_precision=("*",),
        ),
        store.prepared(
            "damsm",
            name,
            tensors,
            architecture="damsm",
            settings=settings | origin,
            vocabulary=vocabulary.words,
            preprocessing={"words": "ascii"},
            description="published DAMSM encoders",
            licence=_TERMS,
            full_precision=("*",),
        ),
    ]
    return store.register_together(models, folder=folder, replace=replace)


def read_attngan(
    generator: str | Path, text_encoder: str | Path, dictionary: str | Path
) -> tuple[Generator | DeepFusionGenerator, TextEncoder, Vocabulary]:
    """The networks and words of published files. Raises WeightsError if the files do not belong together."""
    painter = load_published(generator, "generator")
    reader = load_published(text_encoder, "text_encoder")
    words = read_captions(dictionary).words
    _check_words(len(words), dictionary, reader.encoder.num_embeddings, text_encoder)
    _check_widths("The generator reads sentences", network_settings(painter)["embedding_width"], reader)
    return painter, reader, Vocabulary(words, ascii_only=True)


def import_captioner(
    name: str,
    *,
    encoder: str | Path,
    decoder: str | Path,
    vocabulary: str | Path,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> list[catalogue.Entry]:
    """Register the published CNN-LSTM captioner, as captioner/`name`; `vocabulary` is its vocab.pkl.

    It decodes greedily, up to 19 words, like the published sampler, except that it never says the unknown word. Raises
    WeightsError for files that do not belong together, and the errors of `store.register`.

    >>> import_captioner("yunjey", encoder="encoder-5-3000.pkl", decoder="decoder-5-3000.pkl",
    ...                  vocabulary="vocab.pkl")  # doctest: +SKIP
    """
    seer = load_published(encoder, "captioner_encoder")
    speaker = load_published(decoder, "captioner_decoder")
    words = read_vocabulary(vocabulary)
    _check_markers(Vocabulary(words), vocabulary)
    _check_words(len(words), vocabulary, speaker.embed.num_embeddings, decoder)
    if seer.linear.out_features != speaker.embed.embedding_dim:
        raise WeightsError(
            f"{encoder} gives features of {seer.linear.out_features} numbers, {decoder} reads "
            f"{speaker.embed.embedding_dim}: they are from different training runs."
        )
    return _register_captioner(
        name,
        (seer, speaker, words),
        architecture="resnet152-lstm",
        description="published CNN-LSTM captioner over ResNet-152",
        settings={"input_size": INPUT_SIZE, "beam_width": 1, "words_limit": _SAMPLED_WORDS},
        sources=sources,
        folder=folder,
        replace=replace,
    )


def import_attending_captioner(
    name: str,
    *,
    checkpoint: str | Path,
    vocabulary: str | Path,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> list[catalogue.Entry]:
    """Register a captioner of sgrvinod's tutorial, as captioner/`name`.

    `checkpoint` holds its encoder and decoder as pickled modules, whose code is never run; `vocabulary` is its
    WORDMAP.json. It uses beam search of width 5 and up to 50 words, like the tutorial, except that it never says the
    unknown word. Raises WeightsError for files that do not belong together, and the errors of `store.register`.

    >>> import_attending_captioner("sgrvinod", checkpoint="BEST_checkpoint_coco_5_cap_per_img_5_min_word_freq.pth.tar",
    ...                            vocabulary="WORDMAP_coco_5_cap_per_img_5_min_word_freq.json")  # doctest: +SKIP
    """
    parts = read_modules(checkpoint)
    if lost := [part for part in ("encoder", "decoder") if part not in parts]:
        raise WeightsError(f"{checkpoint} lacks {' and '.join(lost)}: it contains {', '.join(parts) or 'no network'}.")
    seer = load_published(parts["encoder"], "attending_encoder")
    speaker = load_published(parts["decoder"], "attending_decoder")
    words = read_vocabulary(vocabulary)
    _check_markers(Vocabulary(words), vocabulary)
    _check_words(len(words), vocabulary, speaker.embedding.num_embeddings, checkpoint)
    return _register_captioner(
        name,
        (seer, speaker, words),
        architecture="resnet101-attention-lstm",
        description="published soft-attention captioner over ResNet-101",
        settings={"input_size": show_attend_tell.INPUT_SIZE, "beam_width": 5, "words_limit": 50},
        sources=sources,
        folder=folder,
        replace=replace,
    )


def _register_captioner(
    name: str,
    parts: tuple[nn.Module, nn.Module, list[str]],
    *,
    settings: dict[str, Any],
    sources: Sources | None,
    **how: Any,
) -> list[catalogue.Entry]:
    """Register encoder, decoder and vocabulary as captioner/`name`; `how` is what `store.register` takes."""
    encoder, decoder, vocabulary = parts
    network = {"encoder": network_settings(encoder), "decoder": _without_vocabulary(network_settings(decoder))}
    entry = store.register(
        "captioner",
        name,
        _prefixed("encoder", encoder) | _prefixed("decoder", decoder),
        settings={
            "network": network,
            **settings,
            "length_power": 0.0,
            "sources": {key: dict(value) for key, value in (sources or {}).items()},
        },
        vocabulary=vocabulary,
        licence=_TERMS,
        full_precision=("*",),
        **how,
    )
    return [entry]


def import_pggan(
    name: str,
    *,
    pggan: str | Path,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> list[catalogue.Entry]:
    """Register the generator of a Progressive GAN pickle (Karras et al. 2018), as generator/`name`.

    Of the three networks in such a file the average of the generator, the last one, is taken. Raises WeightsError for
    another file, and the errors of `store.register`.

    >>> import_pggan("pggan", pggan="karras2018iclr-celebahq-1024x1024.pkl")  # doctest: +SKIP
    """
    network, tensors = generator_of_variables(read_tf_networks(pggan)[-1], str(pggan))
    size = 4 << (len(network["widths"]) - 1)
    entry = store.register(
        "generator",
        name,
        tensors,
        architecture="pggan",
        settings={
            "network": network,
            "sources": {key: dict(value) for key, value in (sources or {}).items()},
        },
        description=f"published Progressive GAN, {size} px",
        licence=_TERMS,
        full_precision=("*",),
        folder=folder,
        replace=replace,
    )
    return [entry]


def import_ppgn(
    name: str,
    *,
    generator: str | Path,
    encoder: str | Path,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> list[catalogue.Entry]:
    """Register the published generator of PPGN (Nguyen et al. 2017) and CaffeNet, which encodes for it, as ppgn/`name`.

    The files are generator.caffemodel and bvlc_reference_caffenet.caffemodel, read without Caffe. Raises WeightsError
    for other files, and the errors of `store.register`.

    >>> import_ppgn("caffe", generator="generator.caffemodel",
    ...             encoder="bvlc_reference_caffenet.caffemodel")  # doctest: +SKIP
    """
    painter, seer = read_ppgn(generator, encoder)
    network = {"width": painter.code_width, "classes": seer.fc8.out_features}
    entry = store.register(
        "ppgn",
        name,
        _prefixed("generator", painter) | _prefixed("encoder", seer),
        architecture="caffe-ppgn",
        settings={"network": network, "sources": {key: dict(value) for key, value in (sources or {}).items()}},
        description=f"published PPGN, {painter.size} px, with CaffeNet",
        licence=_TERMS,
        full_precision=("*",),
        folder=folder,
        replace=replace,
    )
    return [entry]


def import_char_cnn_rnn(
    name: str,
    *,
    char_cnn_rnn: str | Path,
    sources: Sources | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> list[catalogue.Entry]:
    """Register a published Char-CNN-RNN (Reed et al. 2016), as embedding/`name`.

    The file is the authors' `lm_sje_….t7`, read without running anything in it, or the `.pth` of its PyTorch version.
    It encodes texts only: the features of pictures that it was trained with are not in the file. Raises WeightsError
    for another file, and the errors of `store.register`.

    >>> import_char_cnn_rnn("sje-flowers", char_cnn_rnn="lm_sje_flowers_c10_hybrid.t7")  # doctest: +SKIP
    """
    network = read_char_cnn_rnn(char_cnn_rnn)
    settings = {"channels": network.conv3.out_channels, "cell": network.cell, "width": network.linear.out_features}
    origin = {"sources": {key: dict(value) for key, value in (sources or {}).items()}}
    entry = store.register(
        "embedding",
        name,
        _prefixed("text_encoder", network),
        architecture="char-cnn-rnn",
        settings={"text": settings, "plain": False, **origin},
        description="published Char-CNN-RNN text encoder",
        licence=_TERMS,
        full_precision=("*",),
        folder=folder,
        replace=replace,
    )
    return [entry]


def _project(painter: Generator | DeepFusionGenerator) -> str:
    if isinstance(painter, DeepFusionGenerator):
        return "DF-GAN"
    return "DM-GAN" if network_settings(painter).get("memory") else "AttnGAN"


def _check_words(words: int, dictionary: str | Path, expected: int, encoder: str | Path) -> None:
    if words != expected:
        raise WeightsError(
            f"{dictionary} has {words} words, but {encoder} was trained with {expected}. Use the file that was "
            "published with the weights: one rebuilt by a data loader numbers the words differently, even "
            "if the sizes agree."
        )


def _check_widths(what: str, width: int, reader: TextEncoder) -> None:
    if width != 2 * reader.rnn.hidden_size:
        raise WeightsError(
            f"{what} of {width} numbers, the text encoder writes {2 * reader.rnn.hidden_size}: "
            "they are from different training runs."
        )


def _check_markers(vocabulary: Vocabulary, path: str | Path) -> None:
    if missing := [marker for marker in (PAD, START, END, UNKNOWN) if marker not in vocabulary.ids]:
        raise WeightsError(f"{path} lacks {', '.join(missing)}: it is not a vocabulary of the published captioner.")


def _options(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _prefixed(part: str, net: nn.Module) -> dict[str, torch.Tensor]:
    return {f"{part}.{name}": tensor for name, tensor in net.state_dict().items()}


def _without_vocabulary(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "vocabulary_size"}
