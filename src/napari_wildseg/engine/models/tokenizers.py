"""Tokenizers: from sentences to token ids."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

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
    "vocab.json",
    "merges.txt",
)
"""Files of a Hugging Face tokenizer, of which a repository has some. They contain data only."""

_SIMPLE_OPTIONS = ("clean", "reduction_mask")
_HF_OPTIONS = ("clean", "strip_sep_token", "language")
"""Configuration options that are passed to open_clip's tokenizers. None can name code, a file or
an address."""

_GENERIC = "PreTrainedTokenizerFast"
_CLASSES = frozenset(
    f"{name}{ending}"
    for name in (
        "Bert", "CLIP", "Gemma", "Llama", "MT5", "Nllb", "Roberta", "Siglip", "T5", "XLMRoberta",
    )
    for ending in ("Tokenizer", "TokenizerFast")
)  # fmt: skip
"""Tokenizer classes of the transformers library that read data files only. Other classes load
plugins, dictionaries or pickles from the folder."""

_MODEL_TYPES = {
    "bert": "BertTokenizer", "clip": "CLIPTokenizer", "m2m_100": "NllbTokenizer",
    "mt5": "T5Tokenizer", "roberta": "RobertaTokenizer", "xlm-roberta": "XLMRobertaTokenizer",
}  # fmt: skip
"""Tokenizer classes by model type, for older folders that do not name a class."""

_SETTINGS = re.compile(
    r"(bos|eos|unk|sep|pad|cls|mask)_token|add_(bos|eos)_token|add_prefix_space|extra_ids|legacy"
    r"|added_tokens_decoder|additional_special_tokens|do_lower_case|strip_accents"
    r"|tokenize_chinese_chars|model_max_length|src_lang|tgt_lang|padding_side|truncation_side"
    r"|clean_up_tokenization_spaces|do_basic_tokenize|keep_accents|language_codes"
)
"""Entries of ``tokenizer_config.json`` that are copied."""


class WordTokenizer:
    """Tokenizer with one token per word of a short list, for small models with their own list.

    Word i of the list has the id i + 1; other words are dropped. The sentence ends with the
    largest id, ``len(words) + 1``, as open_clip's text towers expect, and is padded with 0.
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
    """Create the tokenizer of an architecture."""
    text = architecture.config["text_cfg"]
    context = int(text.get("context_length", 77))
    if architecture.words:
        return WordTokenizer(architecture.words, context)
    options = text.get("tokenizer_kwargs") or {}
    if not text.get("hf_tokenizer_name"):
        options = _subset(options, _SIMPLE_OPTIONS)
        return simple_tokenizer(context) if not options else _simple_tokenizer(context, options)
    if folder is None or not has_tokenizer(folder):
        place = f"{folder} has none" if folder is not None else "there is none with the checkpoint"
        raise WildsegError(
            f'"{architecture.name}" needs the files of its tokenizer '
            f"({text['hf_tokenizer_name']}: tokenizer.json and others), but {place}."
        )
    from open_clip.tokenizer import HFTokenizer

    try:
        with tempfile.TemporaryDirectory() as copy:
            copy_data(folder, Path(copy))
            return HFTokenizer(  # type: ignore[no-any-return]
                copy,
                context_length=context,
                tokenizer_mode=text.get("tokenizer_mode"),
                trust_remote_code=False,
                local_files_only=True,
                **_subset(options, _HF_OPTIONS),
            )
    except Exception as error:
        raise WildsegError(
            f'The tokenizer of "{architecture.name}" in {folder} cannot be read '
            f"({type(error).__name__}: {' '.join(str(error).split()):.80})."
        ) from error


@lru_cache(maxsize=4)
def simple_tokenizer(context: int) -> Tokenizer:
    """Return open_clip's tokenizer, made once: it reads a list of 49,000 pieces of words."""
    return _simple_tokenizer(context, {})


def _simple_tokenizer(context: int, options: Mapping[str, Any]) -> Tokenizer:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context, **options)  # type: ignore[no-any-return]


def _subset(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def copy_data(folder: Path, target: Path) -> None:
    """Copy the data files of a tokenizer, without anything that could execute code.

    Left out are ``auto_map`` (it names code in the folder), classes outside a fixed list, and
    settings that could name another file.
    """
    for name in TOKENIZER_FILES:
        if name != "tokenizer_config.json" and (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    settings = _json(folder / "tokenizer_config.json")
    kept = {key: value for key, value in settings.items() if _SETTINGS.fullmatch(key)}
    kind = _json(folder / "config.json").get("model_type")
    named = settings.get("tokenizer_class") or _MODEL_TYPES.get(str(kind))
    kept["tokenizer_class"] = named if named in _CLASSES else _GENERIC
    (target / "tokenizer_config.json").write_text(json.dumps(kept), encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one if the file is missing."""
    data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return data if isinstance(data, dict) else {}


def uses_files(architecture: Architecture) -> bool:
    """Return whether an architecture needs the files of a Hugging Face tokenizer."""
    text = architecture.config["text_cfg"]
    return bool(text.get("hf_tokenizer_name")) and not architecture.words


def tokenizer_digest(folder: Path | None) -> str:
    """Return a hash of the tokenizer's files: another tokenizer makes another model."""
    digest = hashlib.sha256()
    for name in TOKENIZER_FILES:
        if folder is not None and (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    return digest.hexdigest()


def has_tokenizer(folder: Path) -> bool:
    """Return whether a directory holds the files of a Hugging Face tokenizer."""
    return any(
        (folder / name).is_file()
        for name in (
            "tokenizer.json",
            "spiece.model",
            "sentencepiece.bpe.model",
            "vocab.txt",
            "vocab.json",
        )
    )
