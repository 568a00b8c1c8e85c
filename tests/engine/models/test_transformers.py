"""Models of the transformers library: converted on loading, and never given the word.

The library's own classes give the outputs that are compared with; weights are random.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file, save, save_file
from torch.nn import functional as F

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.architecture import Architecture, network
from napari_wildseg.engine.models.text_tower import text_settings
from napari_wildseg.engine.models.tokenizers import copy_data, tokenizer_for
from napari_wildseg.engine.models.weights.download import download, is_cached
from napari_wildseg.engine.relevance.vit import forward, require_tower

transformers = pytest.importorskip("transformers")
if not transformers.utils.is_torch_available():
    pytest.skip("this version of transformers needs a newer torch", allow_module_level=True)

TEXT = {
    "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 9, "vocab_size": 60,
}  # fmt: skip
VISION = {
    "hidden_size": 48, "intermediate_size": 90, "num_hidden_layers": 2, "num_attention_heads": 3,
    "image_size": 48, "patch_size": 16,
}  # fmt: skip


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of whole words, in the form of the Hub."""
    words = {"<pad>": 0, "<end>": 1, "<unk>": 2, "red": 3, "circle": 4, "a": 5}
    content = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "decoder": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<end>", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {"<end>": {"id": "<end>", "ids": [1], "tokens": ["<end>"]}},
        },
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(content))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def make(kind: str, folder: Path, *, text=None, vision=None, **more):
    """A small model of the library with random weights, saved to a folder."""
    torch.manual_seed(0)
    text, vision = {**TEXT, **(text or {})}, {**VISION, **(vision or {})}
    if kind == "siglip2":
        del vision["image_size"]
        vision["num_patches"] = 9
    if kind == "clip":
        more.setdefault("projection_dim", 24)
    config = {"clip": "CLIP", "siglip": "Siglip", "siglip2": "Siglip2"}[kind]
    made = getattr(transformers, f"{config}Config")(text_config=text, vision_config=vision, **more)
    model = getattr(transformers, f"{config}Model")(made).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return model


def pooled(output):
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest value; ten times as close as is asked for."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def patches_of(pixels: torch.Tensor, side: int = 16) -> dict[str, torch.Tensor]:
    """Pictures as the library's NaFlex towers take them: a row of numbers a patch."""
    batch, _, height, width = pixels.shape
    rows, columns = height // side, width // side
    parts = pixels.reshape(batch, 3, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": parts.reshape(batch, rows * columns, -1),
        "pixel_attention_mask": torch.ones(batch, rows * columns, dtype=torch.long),
        "spatial_shapes": torch.tensor([[rows, columns]] * batch),
    }


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("clip", {}),
        ("clip", {"text": {"hidden_act": "gelu"}, "vision": {"hidden_act": "gelu"}}),
        ("clip", {"text": {"eos_token_id": 1, "layer_norm_eps": 1e-3}}),
        ("siglip", {}),
        ("siglip", {"text": {"projection_size": 48}, "vision": {"hidden_act": "gelu"}}),
        ("siglip2", {"text": {"projection_size": 48}}),
    ],
)
@torch.no_grad()
def test_outputs_are_the_librarys_own(tmp_path, kind, options):
    if kind.startswith("siglip"):
        options = {**options, "text": {"projection_size": 48, **options.get("text", {})}}
    theirs = make(kind, tmp_path, **options)
    ours = load_model(str(tmp_path), device="cpu")
    pixels = torch.randn(2, 3, 48, 48)
    given = patches_of(pixels) if kind == "siglip2" else {"pixel_values": pixels}
    expected = pooled(theirs.get_image_features(**given))
    assert_close(ours.visual(pixels), expected)
    tower = require_tower(ours)
    found = forward(ours, tower, pixels, lambda i, block, x, rope: None)
    assert_close(found.embedding, F.normalize(expected, dim=-1))
    tokens = torch.randint(3, 58, (3, 9))
    tokens[:, 6] = 1 if options.get("text", {}).get("eos_token_id") == 1 else 59
    expected = pooled(theirs.get_text_features(input_ids=tokens))
    assert_close(ours.network.encode_text(tokens), expected)
    assert ours.logit_scale == pytest.approx(float(theirs.logit_scale.exp()))
    assert ours.mean == pytest.approx((0.481, 0.458, 0.408) if kind == "clip" else (0.5,) * 3, 1e-2)
    assert ours.encode_text(["red circle"]).shape[0] == 1
    assert ours.notices == ()


@torch.no_grad()
def test_pictures_of_another_shape(tmp_path):
    """NaFlex towers smooth their position embeddings where they make them smaller."""
    theirs = make("siglip2", tmp_path, text={"projection_size": 48})
    ours = load_model(str(tmp_path), device="cpu")
    tower = require_tower(ours)
    for size in ((32, 80), (96, 16), (96, 112)):
        pixels = torch.randn(1, 3, *size)
        found = forward(ours, tower, pixels, lambda i, block, x, rope: None).embedding
        expected = pooled(theirs.get_image_features(**patches_of(pixels)))
        assert_close(found, F.normalize(expected, dim=-1))


def test_scaling_and_clips_own_tokenizer(tmp_path):
    make("clip", tmp_path, text={"vocab_size": 49408})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    scaling = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(scaling))
    model = load_model(f"local-dir:{tmp_path}", device="cpu")
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert model.tokenizer(["a cat"])[0, :5].tolist() == [49406, 320, 2368, 49407, 0]
    assert "QuickGELU" in repr(model.visual)


def test_weights_given_as_a_file(tmp_path):
    """The file of such a folder, in either form; without its configuration it is refused."""
    make("clip", tmp_path)
    path = tmp_path / "model.safetensors"
    of_folder = load_model(str(tmp_path), device="cpu")
    assert load_model(str(path), device="cpu").fingerprint == of_folder.fingerprint
    torch.save(load_file(path), tmp_path / "pytorch_model.bin")
    assert load_model(str(tmp_path / "pytorch_model.bin")).fingerprint == of_folder.fingerprint
    (tmp_path / "config.json").unlink()
    with pytest.raises(WildsegError, match=r"put its config\.json beside it"):
        load_model(str(path))
    with pytest.raises(WildsegError, match=r"no open_clip_config\.json and no config\.json"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "chinese_clip"}, "kind 'chinese_clip'"),
        ({"model_type": ["clip"]}, "no open_clip_config.json"),
        ({"text_config": {"hidden_act": "swish"}}, 'activations "quick_gelu" and "swish"'),
        ({"vision_config": {"hidden_size": "wide"}}, "not valid"),
        ({"vision_config": {"num_attention_heads": 0}}, "not valid"),
        ({"vision_config": 5}, "not valid"),
        ({"vision_config": {"hidden_size": 12, "num_attention_heads": 3}}, "another architecture"),
    ],
)
def test_folders_that_are_refused(tmp_path, change, words):
    make("clip", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(config[key], dict)
        config[key] = {**config[key], **value} if both else value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WildsegError) as error:
        load_model(str(tmp_path))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_models_of_the_hub_in_the_librarys_form(hub, cache, tmp_path):
    make("siglip", tmp_path, text={"projection_size": 48})
    for path in tmp_path.iterdir():
        if path.is_file():
            hub.files[f"lab/siglip/{path.name}"] = path.read_bytes()
    scaling = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    hub.files["lab/siglip/preprocessor_config.json"] = json.dumps(scaling).encode()
    assert not is_cached("hf-hub:lab/siglip")
    download("hf-hub:lab/siglip")
    assert is_cached("hf-hub:lab/siglip")
    model = load_model("hf-hub:lab/siglip", device="cpu")
    assert model.mean == (0.1, 0.2, 0.3)
    assert model.encode_text(["red circle"]).shape == (1, 48)


# -- text towers of the library ----------------------------------------------------------------

TOWERS = {
    "roberta": {
        "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 20, "max_position_embeddings": 20, "pad_token_id": 0,
    },
    "xlm-roberta": {
        "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 20, "max_position_embeddings": 20, "pad_token_id": 0,
    },
    "mt5": {
        "vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 20, "num_layers": 1, "num_heads": 2,
        "feed_forward_proj": "gated-gelu", "pad_token_id": 0,
    },
    "m2m_100": {
        "vocab_size": 60, "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2,
        "encoder_ffn_dim": 20, "max_position_embeddings": 20, "pad_token_id": 0,
    },
}  # fmt: skip
IMAGE = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}


def folder_with_tower(folder: Path, kind: str, **more) -> dict:
    """A folder of open_clip with a text tower of the library, whose configuration is beside."""
    text = {
        "hf_model_name": f"lab/{kind}", "hf_tokenizer_name": f"lab/{kind}", "context_length": 9,
        "hf_pooler_type": "cls_pooler" if kind == "m2m_100" else "mean_pooler", **more,
    }  # fmt: skip
    config = {"embed_dim": 24, "vision_cfg": IMAGE, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    settings = {"model_type": kind, **TOWERS[kind]}
    (folder / "config.json").write_text(json.dumps(settings))
    write_tokenizer(folder)
    return config


@pytest.mark.parametrize("kind", TOWERS)
@torch.no_grad()
def test_text_towers_of_the_library(tmp_path, kind):
    """Equal to the library's own model, its tokens averaged or its first taken, and projected."""
    config = folder_with_tower(tmp_path, kind, hf_proj_type="linear")
    net = network(Architecture("small", config, folder=tmp_path))
    torch.manual_seed(0)
    for parameter in net.parameters():
        parameter.normal_(0, 0.2)
    save_file(net.state_dict(), tmp_path / "open_clip_model.safetensors")
    model = load_model(str(tmp_path), device="cpu")
    tokens = model.tokenizer(["a red circle", "circle"])
    assert tokens.tolist()[0] == [5, 3, 4, 1, 0, 0, 0, 0, 0]
    made = transformers.AutoConfig.for_model(kind, **TOWERS[kind])
    theirs = transformers.AutoModel.from_config(made).eval()
    encoder = theirs.encoder if made.is_encoder_decoder else theirs
    state = {k.removeprefix("text.transformer."): v for k, v in net.state_dict().items()}
    encoder.load_state_dict(state, strict=False)
    mask = (tokens != 0).long()
    out = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
    read = out[:, 0] if kind == "m2m_100" else (out * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    assert_close(model.network.encode_text(tokens), read @ net.text.proj.weight.T)
    assert isinstance(model.network, CustomTextCLIP)


@pytest.mark.parametrize("name", ["roberta-base", "google/mt5-base", "xlm-roberta-large"])
def test_known_text_towers_need_no_configuration(name):
    assert text_settings(name, None)["model_type"] in TOWERS
    assert text_settings("lab/unknown", None) is None


# -- nothing of a folder runs -------------------------------------------------------------------


def plant(folder: Path, mark: Path) -> None:
    """Code in the folder that would run as a model, a configuration or a tokenizer."""
    (folder / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(mark)!r}).write_text('ran')\n"
        "from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizer\n"
        "class Evil(PreTrainedTokenizer):\n    pass\n"
        "class EvilConfig(PreTrainedConfig):\n    pass\n"
        "class EvilModel(PreTrainedModel):\n    pass\n"
    )


EVIL_MAP = {
    "AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel",
    "AutoTokenizer": ["evil.Evil", "evil.Evil"],
}  # fmt: skip


def edit(path: Path, **more) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


@pytest.mark.parametrize("kind", ["clip", "roberta"])
def test_auto_map_is_never_followed(tmp_path, kind):
    """Not in ``config.json``, nor in that of a text tower or a tokenizer; the model loads."""
    mark = tmp_path / "ran"
    if kind == "clip":
        make("clip", tmp_path)
    else:
        config = folder_with_tower(
            tmp_path, kind, tokenizer_kwargs={"trust_remote_code": True, "use_fast": False}
        )
        net = network(Architecture("small", config, folder=tmp_path))
        save_file(net.state_dict(), tmp_path / "open_clip_model.safetensors")
    plant(tmp_path, mark)
    kernel = {"_attn_implementation": "lab/kernel", "attn_implementation": "lab/kernel"}
    edit(tmp_path / "config.json", auto_map=EVIL_MAP, trust_remote_code=True, **kernel)
    edit(tmp_path / "tokenizer_config.json", auto_map=EVIL_MAP, tokenizer_class="Evil")
    model = load_model(str(tmp_path), device="cpu")
    assert model.encode_text(["red circle"]).shape == (1, 24)
    assert not mark.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"trust_remote_code": True},
        {"auto_map": EVIL_MAP},
        {"tokenizer_type": "evil"},
        {"subfolder": "code"},
        {"tokenizer_file": "/etc/passwd"},
        {"gguf_file": "x.gguf"},
        {"config": {"model_type": "evil"}},
        {"_commit_hash": "0", "revision": "main", "code_revision": "main"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_tokenizer_options_that_are_not_harmless_are_left_out(tmp_path, options):
    mark = tmp_path / "ran"
    write_tokenizer(tmp_path)
    plant(tmp_path, mark)
    edit(tmp_path / "tokenizer_config.json", auto_map=EVIL_MAP, tokenizer_class="Evil")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": EVIL_MAP}))
    text = {"hf_tokenizer_name": "lab/words", "context_length": 4, "tokenizer_kwargs": options}
    architecture = Architecture("small", {"text_cfg": text})
    assert tokenizer_for(architecture, tmp_path)(["red circle"]).tolist() == [[3, 4, 1, 0]]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("TransfoXLTokenizer", "PreTrainedTokenizerFast"),  # reads a pickle
        ("BertJapaneseTokenizer", "PreTrainedTokenizerFast"),  # loads plugins
        ("Evil", "PreTrainedTokenizerFast"),
        ("XLMRobertaTokenizer", "XLMRobertaTokenizer"),
    ],
)
def test_only_data_of_a_tokenizer_is_taken(tmp_path, named, kept):
    folder, target = tmp_path / "model", tmp_path / "copy"
    folder.mkdir()
    target.mkdir()
    write_tokenizer(folder)
    plant(folder, tmp_path / "ran")
    for name in ("vocab.pkl", "vocab.bin", "tokenizer.py"):
        (folder / name).write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    edit(
        folder / "tokenizer_config.json", tokenizer_class=named, auto_map=EVIL_MAP,
        vocab_file="/etc/passwd", pretrained_vocab_file="vocab.pkl", chat_template="{{ 1 }}",
        sp_model_kwargs={"model_file": "/etc/passwd"},
    )  # fmt: skip
    copy_data(folder, target)
    assert {path.name for path in target.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    settings = json.loads((target / "tokenizer_config.json").read_text())
    assert settings == {"tokenizer_class": kept, "pad_token": "<pad>"}


@pytest.mark.parametrize("name", ["hf-hub:lab/tower", "local-dir:/tmp/tower", 5])
def test_image_towers_that_timm_would_fetch_are_refused(folder, name):
    vision = {"timm_model_name": name, "image_size": 32}
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"] = vision
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(WildsegError, match="is no name of timm's"):
        load_model(str(folder))


@pytest.mark.parametrize("source", ["../../other", "/etc", "a/b/c", ".", "..", "a/..", 5])
def test_names_of_tokenizers_that_are_none_are_refused(hub, cache, source, weights):
    text = {"context_length": 8, "hf_tokenizer_name": source, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": IMAGE, "text_cfg": text}
    hub.files["lab/odd/open_clip_config.json"] = json.dumps({"model_cfg": config}).encode()
    hub.files["lab/odd/open_clip_model.safetensors"] = save(weights)
    with pytest.raises(WildsegError, match="is no name of the Hub's"):
        download("hf-hub:lab/odd")
