"""Models from files and directories: what loads, what is refused, and in which words."""

from __future__ import annotations

import functools
import json
import pickle
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.architecture import (
    architecture_from_shapes,
    builtin_architecture,
    network,
)
from napari_wildseg.engine.models.clip_model import choose_device
from napari_wildseg.engine.models.spec import parse_spec


def config_of(folder: Path) -> dict:
    return json.loads((folder / "open_clip_config.json").read_text())


def refusal(spec: str) -> str:
    """The one sentence that a model string is refused with."""
    with pytest.raises(WildsegError) as error:
        load_model(spec, device="cpu")
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    assert text.endswith(".")
    return text


# -- what loads --------------------------------------------------------------------------------


def test_directory(folder, weights):
    for spec in (f"local-dir:{folder}", str(folder)):
        model = load_model(spec, device="cpu")
        assert model.mean == (0.1, 0.2, 0.3)
        assert model.std == (0.4, 0.5, 0.6)
        assert model.name == spec
        assert not model.network.training
        assert not any(p.requires_grad for p in model.network.parameters())
        for name, tensor in model.network.state_dict().items():
            assert torch.equal(tensor, weights[name]), name


def test_text_vectors_are_unit_averages_over_templates(folder):
    model = load_model(str(folder), device="cpu")
    tokens = open_clip.tokenizer.SimpleTokenizer(context_length=8)
    rows = model.encode_text(["cat", "dog"])
    with torch.no_grad():
        cats = model.network.encode_text(tokens([t.format("cat") for t in model.templates]))
    cats = cats / cats.norm(dim=1, keepdim=True)
    expected = cats.mean(0) / cats.mean(0).norm()
    torch.testing.assert_close(rows[0], expected)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("ending", ["safetensors", "pt", "bin"])
def test_checkpoint_file_with_configuration_beside(folder, weights, tmp_path, ending):
    path = tmp_path / f"mine.{ending}"
    save_file(weights, path) if ending == "safetensors" else torch.save(weights, path)
    path.with_suffix(".json").write_text((folder / "open_clip_config.json").read_text())
    model = load_model(str(path), device="cpu")
    assert model.mean == (0.1, 0.2, 0.3)
    assert torch.equal(model.network.text_projection, weights["text_projection"])


def test_training_checkpoint_of_open_clip(folder, weights, tmp_path):
    """open_clip's training saves the state dict among other things, of a wrapped module."""
    path = tmp_path / "epoch_1.pt"
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"epoch": 1, "name": "run", "state_dict": wrapped}, path)
    path.with_suffix(".json").write_text((folder / "open_clip_config.json").read_text())
    assert load_model(str(path), device="cpu").fingerprint == load_model(str(folder)).fingerprint


def test_configuration_and_words_in_the_file(folder, tmp_path):
    config = config_of(folder)
    config["model_cfg"]["text_cfg"]["vocab_size"] = 4
    config |= {"words": ["red", "circle"], "templates": ["a {}."]}
    state = CLIP(**config["model_cfg"]).state_dict()
    path = tmp_path / "own.safetensors"
    save_file(state, path, metadata={"open_clip_config": json.dumps(config)})
    model = load_model(str(path), device="cpu")
    assert model.templates == ("a {}.",)
    assert model.tokenizer(["A red, RED circle!", "blue"])[:, :5].tolist() == [
        [1, 1, 2, 3, 0],
        [3, 0, 0, 0, 0],
    ]
    assert model.encode_text(["red circle"]).shape == (1, 16)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """``full_size(name)``: the checkpoint of a real architecture, all weights alike, alone."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @functools.cache
    def checkpoint(name: str) -> Path:
        with torch.device("meta"):
            state = network(builtin_architecture(name)).state_dict()
        half = {key: torch.full(t.shape, 0.02, dtype=torch.half) for key, t in state.items()}
        save_file(half, folder / f"{name}.safetensors")
        return folder / f"{name}.safetensors"

    yield checkpoint
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("name", "width"),
    [("ViT-B-16", 512), pytest.param("RN50", 1024, marks=pytest.mark.nightly)],
)
def test_architecture_from_shapes_alone(full_size, name, width):
    path = full_size(name)
    model = load_model(str(path), device="cpu")
    (notice,) = model.notices
    assert notice.startswith(f"{name}.safetensors does not say which activation")
    assert f'"{name}-quickgelu:{name}.safetensors"' in notice
    assert model.encode_text(["a cat"]).shape == (1, width)
    assert next(model.network.parameters()).dtype == torch.float32
    assert type(model.visual).__name__ == (
        "VisionTransformer" if width == 512 else "ModifiedResNet"
    )


def test_architecture_said_outright(full_size):
    path = full_size("ViT-B-16")
    quick = load_model(f"ViT-B-16-quickgelu:{path}", device="cpu")
    assert "QuickGELU" in repr(quick.visual)
    assert quick.notices == ()
    plain = load_model(f"ViT-B-16:{path}", device="cpu")
    assert plain.notices == ()
    assert plain.fingerprint != quick.fingerprint, "the same weights, but other encodings"
    assert "another architecture" in refusal(f"ViT-B-32:{path}")


def test_shapes_tell_every_native_architecture_apart():
    """Built on no memory, each of open_clip's own towers is found again from its shapes."""
    for name in open_clip.list_models():
        config = builtin_architecture(name).config
        vision, text = config["vision_cfg"], config["text_cfg"]
        if (
            "timm_model_name" in vision
            or "hf_model_name" in text
            or "multimodal_cfg" in config
            or vision.get("pool_type")
            or config["embed_dim"] > 640
            or "quickgelu" in name
        ):
            continue
        with torch.device("meta"):
            state = network(builtin_architecture(name)).state_dict()
        found = architecture_from_shapes(state, name)
        assert found is not None, name
        same = {**config, "quick_gelu": None} == {**found.config, "quick_gelu": None}
        assert same or name.endswith(("-alt", "-plus")), (name, found.config)


def test_release_gives_memory_back(full_size):
    """Measured: the process shrinks by most of the 600 MB that the weights take."""
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    model = load_model(str(full_size("ViT-B-16")), device="cpu")
    assert not model.released
    held = process.memory_info().rss
    model.release()
    freed = held - process.memory_info().rss
    assert freed > 450e6, f"{freed / 1e6:.0f} MB freed"
    with pytest.raises(WildsegError, match="was released; load it again"):
        _ = model.visual
    with pytest.raises(WildsegError, match="was released; load it again"):
        model.encode_text(["cat"])


def test_fingerprint_tells_weights_apart(folder, weights):
    first = load_model(str(folder), device="cpu").fingerprint
    assert load_model(str(folder), device="cpu").fingerprint == first
    changed = {k: v.clone() for k, v in weights.items()}
    changed["visual.proj"] += 1e-3
    save_file(changed, folder / "open_clip_model.safetensors")
    assert load_model(str(folder), device="cpu").fingerprint != first


def test_openai_tag_gets_openais_activation():
    """``ViT-B-16/openai`` was trained with QuickGELU, whatever the configuration's name says."""
    from napari_wildseg.engine.models.weights.download import architecture_of

    assert architecture_of(parse_spec("ViT-B-16/openai")).config["quick_gelu"]
    assert not architecture_of(parse_spec("ViT-B-16/laion2b_s34b_b88k")).config.get("quick_gelu")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ViT-B/16", "ViT-B-16/openai"),
        ("ViT-B/32", "ViT-B-32/openai"),
        ("ViT-L/14@336px", "ViT-L-14-336/openai"),
        ("ViT-B/16/laion2b_s34b_b88k", "ViT-B-16/laion2b_s34b_b88k"),
        ("ViT-H/14/laion2b_s32b_b79k", "ViT-H-14/laion2b_s32b_b79k"),
    ],
)
def test_openais_spelling(theirs, ours):
    assert parse_spec(theirs) == parse_spec(ours)


def test_openais_spelling_with_a_file(folder):
    weights = folder / "open_clip_model.safetensors"
    assert parse_spec(f"ViT-B/16:{weights}").architecture == "ViT-B-16"
    assert parse_spec(f"ViT-B/16-quickgelu:{weights}").architecture == "ViT-B-16-quickgelu"


def test_a_path_that_looks_like_openais_spelling(folder, monkeypatch):
    (folder / "ViT-B").mkdir()
    (folder / "open_clip_model.safetensors").rename(folder / "ViT-B" / "16")
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="16 is not a checkpoint"):
        parse_spec("ViT-B/16")


# -- what is refused ---------------------------------------------------------------------------


class Harmful:
    """Unpickling this would create a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (Path(self.target),))


@pytest.mark.parametrize("protocol", ["torch", "plain pickle"])
def test_code_in_a_checkpoint_is_never_executed(tmp_path, protocol):
    mark, path = tmp_path / "executed", tmp_path / "model.pt"
    if protocol == "torch":
        torch.save({"weights": torch.zeros(3), "extra": Harmful(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Harmful(mark)))
    text = refusal(f"ViT-B-16:{path}")
    assert "model.pt" in text
    assert not mark.exists()
    if protocol == "torch":
        assert "could execute code" in text


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.7])
def test_truncated_checkpoint(weights, tmp_path, ending, share):
    path = tmp_path / f"cut.{ending}"
    save_file(weights, path) if ending == "safetensors" else torch.save(weights, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "damaged or incomplete" in refusal(str(path))


def test_garbage_and_other_networks(tmp_path):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(bytes(range(256)) * 40)
    assert "damaged or incomplete" in refusal(str(path))
    other = tmp_path / "other.safetensors"
    save_file(torch.nn.Linear(3, 3).state_dict(), other)
    assert "say which it is, as in ViT-B-16:other.safetensors" in refusal(str(other))
    empty = tmp_path / "empty.pt"
    torch.save({}, empty)
    assert "holds no weights" in refusal(str(empty))
    mixed = tmp_path / "mixed.pt"
    torch.save({"a": torch.zeros(1), "b": "text"}, mixed)
    assert "other things" in refusal(str(mixed))


def test_weights_of_another_size(folder, weights):
    config = config_of(folder)
    config["model_cfg"]["vision_cfg"]["width"] = 48
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert "another architecture" in refusal(str(folder))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"model_cfg": {"embed_dim": 3}}', '{"model_cfg": 3}']
)
def test_configuration_that_is_none(folder, text):
    (folder / "open_clip_config.json").write_text(text)
    assert "not a valid open_clip_config.json" in refusal(str(folder))


def test_configuration_of_no_network(folder):
    config = config_of(folder)
    config["model_cfg"]["vision_cfg"]["colour"] = "red"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert "does not describe a network" in refusal(str(folder))


def test_directory_without_its_parts(folder, tmp_path):
    (folder / "open_clip_model.safetensors").unlink()
    assert "holds no checkpoint" in refusal(str(folder))
    (folder / "open_clip_config.json").unlink()
    assert "has no open_clip_config.json" in refusal(str(folder))
    assert "There is no folder" in refusal(f"local-dir:{tmp_path / 'nowhere'}")


def test_directory_without_a_tokenizer(folder, monkeypatch):
    from napari_wildseg.engine.models import architecture

    config = config_of(folder)
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "lab/words"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    monkeypatch.setattr(architecture, "has_transformers", lambda: False)
    assert 'pip install "napari-wildseg[transformers]"' in refusal(str(folder))
    monkeypatch.setattr(architecture, "has_transformers", lambda: True)
    text = refusal(str(folder))
    assert "needs the files of its tokenizer" in text
    assert str(folder) in text


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "There is no model"),
        ("nonsense", "There is no model"),
        ("ViT-B-161/openai", 'Did you mean "ViT-B-16"'),
        ("starer", 'Did you mean "starter"'),
        ("ViT-B-16", "ViT-B-16/openai, "),
        ("ViT-B-16/nonsense", "needs the name of its weights"),
        ("ViT-B-19/openai", "Names that look like it: "),
        ("ViT-S/16", "give a checkpoint as ViT-S-16:FILE"),
        ("ViT-B/16/nonsense", "ViT-B-16/openai, "),
        ("ViT-S-16", "give a checkpoint as ViT-S-16:FILE"),
        ("hf-hub:noslash", "hf-hub:ORGANISATION/NAME"),
        ("missing.safetensors", "There is no checkpoint file"),
        ("ViT-B-16:missing.pt", "There is no checkpoint file"),
    ],
)
def test_strings_that_name_nothing(spec, words):
    with pytest.raises(InputError) as error:
        parse_spec(spec)
    assert words in str(error.value)


def test_files_of_other_kinds_are_not_opened(tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"PK")
    assert "read safely" in refusal(str(path))


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    best = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.backends.mps.is_available():
        assert choose_device("auto").type == best
    with pytest.raises(InputError, match="choose auto, cpu, cuda or mps"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r'no device "cuda"'):
            choose_device("cuda")
