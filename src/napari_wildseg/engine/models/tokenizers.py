"""Tokenizers: from sentences to the numbers that a text tower reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.architecture import Architecture

Tokenizer = Callable[[list[str]], Tensor]
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
)
"""Files of a Hugging Face tokenizer; a repository has some of them."""


class WordTokenizer:
    """Whole words of a short list, for small models that carry their own vocabulary.

    Word i of the list has the number i + 1; other words are left out; the sentence ends with the
    largest number, ``len(words) + 1``, as open_clip's text towers expect; the rest is 0.

    Parameters
    ----------
    words : sequence of str
        Lower-case words.
    context : int
        Length of a row.
    """

    def __init__(self, words: Sequence[str], context: int) -> None:
        self._numbers = {word: i + 1 for i, word in enumerate(words)}
        self._context = context

    def __call__(self, texts: list[str]) -> Tensor:
        """Tokenize: ``(len(texts), context)`` int64."""
        rows = torch.zeros(len(texts), self._context, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            words = re.findall(r"[a-z0-9]+", text.lower())
            known = [self._numbers[word] for word in words if word in self._numbers]
            numbers = [*known[: self._context - 1], len(self._numbers) + 1]
            row[: len(numbers)] = torch.tensor(numbers)
        return rows


def tokenizer_for(architecture: Architecture, folder: Path | None) -> Tokenizer:
    """Make the tokenizer of an architecture.

    Parameters
    ----------
    architecture : Architecture
        Says which tokenizer it is.
    folder : Path or None
        Where the files of a Hugging Face tokenizer are, if the architecture needs one.

    Raises
    ------
    WildsegError
        If such files are needed and not there.
    """
    text = architecture.config["text_cfg"]
    context = int(text.get("context_length", 77))
    if architecture.words:
        return WordTokenizer(architecture.words, context)
    if not text.get("hf_tokenizer_name"):
        from open_clip.tokenizer import SimpleTokenizer

        return SimpleTokenizer(context_length=context, **text.get("tokenizer_kwargs", {}))  # type: ignore[no-any-return]
    if folder is None or not has_tokenizer(folder):
        place = f"{folder} has none" if folder is not None else "there is none with the checkpoint"
        raise WildsegError(
            f'"{architecture.name}" needs the files of its tokenizer '
            f"({text['hf_tokenizer_name']}: tokenizer.json and others), but {place}."
        )
    from open_clip.tokenizer import HFTokenizer

    try:
        return HFTokenizer(  # type: ignore[no-any-return]
            str(folder),
            context_length=context,
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs", {}),
        )
    except Exception as error:
        raise WildsegError(
            f'The tokenizer of "{architecture.name}" in {folder} cannot be read '
            f"({type(error).__name__}: {error!s:.80})."
        ) from error


def has_tokenizer(folder: Path) -> bool:
    """Whether a directory holds the files of a Hugging Face tokenizer."""
    return any(
        (folder / name).is_file()
        for name in ("tokenizer.json", "spiece.model", "sentencepiece.bpe.model", "vocab.txt")
    )
