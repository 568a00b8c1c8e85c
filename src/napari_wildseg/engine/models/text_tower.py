"""Text towers of the transformers library, for open_clip's multilingual models.

open_clip's configuration does not contain that of such a tower. The configurations of the towers
in open_clip's registry are listed here; for other towers, ``config.json`` is read from the
checkpoint's folder. Only settings of a fixed list are read: a configuration of the transformers
library can name code to run (``auto_map``, attention kernels of the Hub).
"""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from napari_wildseg.engine.errors import WildsegError

INSTALL = '`pip install "napari-wildseg[transformers]"`'

_KNOWN: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("text_towers.json").read_text(encoding="utf-8")
)
"""Configurations by the names in open_clip's registry; other settings have their defaults."""

_SETTINGS = frozenset(
    (
        "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size", "hidden_act", "max_position_embeddings", "type_vocab_size",
        "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
        "position_embedding_type", "d_model", "d_kv", "d_ff", "num_layers", "num_heads",
        "relative_attention_num_buckets", "relative_attention_max_distance",
        "layer_norm_epsilon", "feed_forward_proj", "encoder_layers", "encoder_ffn_dim",
        "encoder_attention_heads", "activation_function", "scale_embedding",
    )
)  # fmt: skip
_MODEL_TYPES = ("roberta", "xlm-roberta", "bert", "mt5", "m2m_100")


def has_transformers() -> bool:
    """Return whether the transformers library is installed."""
    return importlib.util.find_spec("transformers") is not None


def text_settings(name: str, folder: Path | None) -> dict[str, Any] | None:
    """Return the configuration of a text tower, or None if it is unknown."""
    path = None if folder is None else folder / "config.json"
    if path is not None and path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.get("model_type") in _MODEL_TYPES:
                return {key: value for key, value in found.items() if key in _SETTINGS}
        except (ValueError, AttributeError) as error:
            raise WildsegError(f"{path} is not a configuration ({error!s:.60}).") from error
    return _KNOWN.get(name)


def text_tower(settings: dict[str, Any], text: dict[str, Any], embed_dim: int) -> nn.Module:
    """Build open_clip's ``HFTextEncoder``, with uninitialised weights."""
    from open_clip.hf_model import HFTextEncoder

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        tower: nn.Module = HFTextEncoder(
            folder,
            output_dim=embed_dim,
            pooler_type=text.get("hf_pooler_type", "mean_pooler"),
            proj_type=text.get("hf_proj_type", "mlp"),
            pretrained=False,
        )
    return tower
