"""CLIP's weights in the forms that people have them: archives, state dicts, checkpoints, halves."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import nn

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.architecture import builtin_architecture, network
from napari_wildseg.engine.models.weights.identify import choose_activation, identify_checkpoint
from napari_wildseg.engine.models.weights.torchscript_archive import (
    NotReadableError,
    is_torchscript,
    read_torchscript,
)

from .conftest import CONFIG

EXTRAS = {
    "input_resolution": torch.tensor(32),
    "context_length": torch.tensor(8),
    "vocab_size": torch.tensor(49408),
}


# -- archives ----------------------------------------------------------------------------------


def scripted(path: Path, net: nn.Module) -> Path:
    """An archive as the installed PyTorch writes it."""
    torch.jit.save(torch.jit.script(net), path)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def module_2021(kind: str, attributes: list[tuple[str, bytes]]) -> bytes:
    items = b"".join(text(name) + value for name, value in attributes)
    where, _, name = kind.rpartition(".")
    return f"c__torch__.{where}\n{name}\n".encode() + b")\x81}(" + items + b"ub"


class Archive2021:
    """Writes an archive as PyTorch 1.7 did, in which OpenAI published its weights.

    The records lie uncompressed under the name of the file; tensors say the graphics card that they
    were on; classes have the names of OpenAI's program.
    """

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    def tensor(self, value: torch.Tensor) -> bytes:
        key = str(len(self.records))
        self.records[key] = value.detach().contiguous().numpy().tobytes()
        kind = {torch.float16: "Half", torch.float32: "Float", torch.int64: "Long"}[value.dtype]
        stored = text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key)
        stored = b"(" + stored + text("cuda:0") + number(value.numel()) + b"tQ"
        shape = numbers(tuple(value.shape)) + numbers(value.contiguous().stride())
        hooks = b"ccollections\nOrderedDict\n)R"
        rebuilt = b"(" + stored + number(0) + shape + b"\x89" + hooks + b"t"
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + rebuilt + b"R"

    def module(self, state: dict[str, torch.Tensor], quick: bool) -> bytes:
        children: dict[str, dict[str, torch.Tensor]] = {}
        attributes = [("training", b"\x88"), ("_is_full_backward_hook", b"N")]
        for name, value in state.items():
            first, dot, rest = name.partition(".")
            if dot:
                children.setdefault(first, {})[rest] = value
            else:
                attributes.append((name, self.tensor(value)))
        for name, part in children.items():
            attributes.append((name, self.module(part, quick)))
        if "c_fc" in children:
            kind = "clip.model.QuickGELU" if quick else "torch.nn.modules.activation.GELU"
            attributes.append(("gelu", module_2021(kind, [("training", b"\x88")])))
        return module_2021("multimodal.model.___torch_mangle_95.Transformer", attributes)

    def write(self, path: Path, state: dict[str, torch.Tensor], quick: bool = True) -> Path:
        pickled = b"\x80\x02" + self.module(state, quick) + b"."
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}/version", "3\n")
            archive.writestr(f"{path.stem}/data.pkl", pickled)
            archive.writestr(f"{path.stem}/constants.pkl", b"\x80\x02).")
            archive.writestr(f"{path.stem}/code/__torch__/multimodal.py", "class Transformer: ...")
            for key, data in self.records.items():
                archive.writestr(f"{path.stem}/data/{key}", data)
        return path


def beside(path: Path, **more) -> str:
    """A checkpoint with its configuration beside it."""
    path.with_suffix(".json").write_text(json.dumps({"model_cfg": {**CONFIG, **more}}))
    return str(path)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("half", [False, True])
def test_archive_of_today(tmp_path, quick, half):
    net = CLIP(**CONFIG, quick_gelu=quick).eval()
    net = net.half() if half else net
    path = scripted(tmp_path / "ViT-B-16.pt", net)
    assert is_torchscript(path)
    tensors, said = read_torchscript(path)
    expected = torch.jit.load(path).state_dict()
    assert said is quick
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name
    model = load_model(beside(path), device="cpu")
    assert ("QuickGELU" in repr(model.visual)) is quick
    assert torch.equal(model.network.text_projection, net.text_projection.float())
    assert model.notices == ()


@pytest.mark.parametrize("quick", [True, False])
def test_archive_of_2021(tmp_path, weights, quick):
    """OpenAI's files: half precision, layer norms in float32, three extra numbers."""
    kept = {name: t if ".ln_" in name else t.half() for name, t in weights.items()}
    path = Archive2021().write(tmp_path / "ViT-B-16.pt", {**kept, **EXTRAS}, quick)
    tensors, said = read_torchscript(path)
    assert said is quick
    assert set(tensors) == {*kept, *EXTRAS}
    for name, tensor in kept.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor), name
    model = load_model(beside(path), device="cpu")
    assert ("QuickGELU" in repr(model.visual)) is quick
    assert torch.equal(model.network.visual.proj, kept["visual.proj"].float())


def test_archive_of_another_network(tmp_path):
    path = scripted(tmp_path / "linear.pt", nn.Linear(2, 2))
    with pytest.raises(WildsegError, match="another architecture"):
        load_model(f"ViT-B-16:{path}", device="cpu")


HOSTILE = {
    "a function of Python": b"\x80\x02cposix\nsystem\n" + text("touch {mark}") + b"\x85R.",
    "a builtin": b"\x80\x02cbuiltins\neval\n" + text("open('{mark}', 'w')") + b"\x85R.",
    "by extension": b"\x80\x02\x82\x01.",
    "a module that is no dictionary": b"\x80\x02c__torch__\nM\n)\x81" + number(3) + b"b.",
    "attributes of a function": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}" + text("__name__") + text("x") + b"stb."
    ),
    "attributes of a class": (
        b"\x80\x02ccollections\nOrderedDict\n(N}" + text("keys") + text("x") + b"stb."
    ),
    "no module": b"\x80\x02" + number(3) + b".",
    "not a pickle": b"nothing",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_nothing_runs(tmp_path, kind):
    mark = tmp_path / "executed"
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", HOSTILE[kind].replace(b"{mark}", str(mark).encode()))
        archive.writestr("model/constants.pkl", b"")
        archive.writestr("model/code/__torch__.py", f"open({str(mark)!r}, 'w')")
    with pytest.raises(WildsegError, match=r"model\.pt is a TorchScript archive that"):
        load_model(f"ViT-B-16:{path}", device="cpu")
    assert not mark.exists()


def test_damaged_archives_are_refused(tmp_path, weights):
    """Storages too small, missing or compressed, tensors beyond them, and a file cut short."""
    writer = Archive2021()
    whole = writer.write(tmp_path / "whole.pt", weights)
    data = whole.read_bytes()
    key = max(writer.records, key=lambda k: len(writer.records[k]))

    def variant(name: str, **changes: bytes | None) -> Path:
        path = tmp_path / f"{name}.pt"
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                content = changes.get(key, b"") if info.filename.endswith(f"/data/{key}") else None
                if content is None and info.filename.endswith(f"/data/{key}"):
                    continue
                kind = zipfile.ZIP_DEFLATED if name == "packed" else zipfile.ZIP_STORED
                new.writestr(info.filename, content or old.read(info), kind)
        return path

    short = variant("short", **{key: b"1234"})
    missing = variant("missing", **{key: None})
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    (tmp_path / "far.pt").write_bytes(data.replace(number(49408), number(2**30)))
    for path in (short, missing, variant("packed"), tmp_path / "far.pt"):
        with pytest.raises(NotReadableError):
            read_torchscript(path)
    for name in ("short", "cut", "far"):
        with pytest.raises(WildsegError, match=f"{name}.pt"):
            load_model(f"ViT-B-16:{tmp_path / name}.pt", device="cpu")


# -- state dicts and checkpoints ----------------------------------------------------------------


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_openais_state_dict(tmp_path, weights, ending):
    """The three extra entries mean OpenAI, and so QuickGELU."""
    path = tmp_path / f"state.{ending}"
    state = {**weights, **EXTRAS}
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    model = load_model(beside(path), device="cpu")
    assert "QuickGELU" in repr(model.visual)
    assert model.notices == ()
    assert torch.equal(model.network.visual.proj, weights["visual.proj"])


def test_extra_entries_that_are_plain_numbers(tmp_path, weights):
    path = tmp_path / "state.pt"
    torch.save({**weights, **{name: int(value) for name, value in EXTRAS.items()}}, path)
    assert "QuickGELU" in repr(load_model(beside(path), device="cpu").visual)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_training_checkpoints(tmp_path, weights, key, prefix):
    path = tmp_path / "epoch_3.pt"
    wrapped = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    torch.save({"epoch": 3, key: wrapped, "optimizer": {"lr": 0.1}}, path)
    model = load_model(beside(path), device="cpu")
    assert torch.equal(model.network.visual.proj, weights["visual.proj"])


@pytest.mark.parametrize("number_type", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_half_precision(tmp_path, weights, number_type, ending):
    path = tmp_path / f"half.{ending}"
    half = {name: tensor.to(number_type) for name, tensor in weights.items()}
    save_file(half, path) if ending == "safetensors" else torch.save(half, path)
    model = load_model(beside(path), device="cpu")
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert torch.equal(model.network.visual.proj, half["visual.proj"].float())


# -- activations -------------------------------------------------------------------------------


def shapes_of(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return network(builtin_architecture(name)).state_dict()


@pytest.mark.parametrize("name", ["ViT-B-16", "RN50", "ViT-H-14"])
def test_bare_shapes_leave_a_notice(tmp_path, name):
    path = tmp_path / "mine.pt"
    architecture, assumed = identify_checkpoint(path, shapes_of(name))
    assert assumed
    notice = choose_activation(architecture, path, None, assumed=True)
    assert "plain GELU is assumed" in notice
    assert f'"{name}-quickgelu:mine.pt"' in notice
    assert architecture.config["quick_gelu"] is False


@pytest.mark.parametrize(
    ("file", "name", "used"),
    [
        ("b32_400m.pt", "ViT-B-32", "QuickGELU is assumed, as the published file"),
        ("ViT-B-16.pt", "ViT-B-16", "QuickGELU is assumed, as the published file"),
        ("vit_b_32-quickgelu-laion400m_e32-46683a32.pt", "ViT-B-32", "QuickGELU is assumed"),
        ("vit_b_16-laion400m_e32-55e67d44.pt", "ViT-B-16", "plain GELU is assumed, as"),
    ],
)
def test_published_names_are_known_and_told(tmp_path, file, name, used):
    path = tmp_path / file
    architecture, _ = identify_checkpoint(path, shapes_of(name))
    notice = choose_activation(architecture, path, None, assumed=True)
    assert used in notice
    assert architecture.config["quick_gelu"] is used.startswith("Quick")


def test_what_the_file_says_leaves_no_notice(tmp_path):
    for said in (True, False):
        architecture, _ = identify_checkpoint(tmp_path / "ViT-B-16.pt", shapes_of("ViT-B-16"))
        path = tmp_path / "ViT-B-16.pt"
        assert choose_activation(architecture, path, said, assumed=True) is None
        assert architecture.config["quick_gelu"] is said


def test_fingerprint_covers_the_configuration(tmp_path, weights):
    """The same weights with another activation, scaling or number of heads are another model."""
    found = set()
    variants = [
        {}, {"quick_gelu": True}, {"vision_cfg": {**CONFIG["vision_cfg"], "head_width": 8}}
    ]  # fmt: skip
    for i, more in enumerate(variants):
        path = tmp_path / f"{i}.safetensors"
        save_file(weights, path)
        found.add(load_model(beside(path, **more), device="cpu").fingerprint)
    path.with_suffix(".json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0, 0, 0]}})
    )
    found.add(load_model(str(path), device="cpu").fingerprint)
    assert len(found) == 4


def test_caches_tell_activations_apart(tmp_path, weights):
    """Neither encodings nor texts of one activation are given to the other."""
    import numpy as np

    from napari_wildseg.engine.images.disk_cache import encoding_key
    from napari_wildseg.engine.names.text_cache import _path
    from napari_wildseg.engine.relevance import get_method

    keys = set()
    for quick in (False, True):
        path = tmp_path / f"{quick}.safetensors"
        save_file(weights, path)
        model = load_model(beside(path, quick_gelu=quick), device="cpu")
        image = np.zeros((8, 8, 3), np.uint8)
        keys.add(encoding_key(image, model, get_method(None, model), "single"))
        keys.add(_path(model, ["a"] * 500))
    assert len(keys) == 4


def test_a_notice_reaches_the_result(tmp_path, weights):
    from napari_wildseg.engine.segmenter import Segmenter

    model = load_model(beside(save(tmp_path, weights)), device="cpu")
    model.notices = ("Something was assumed.",)
    segmenter = Segmenter(model, views="single")
    segmenter.set_image(torch.zeros(40, 40, 3, dtype=torch.uint8).numpy())
    assert segmenter.segment(["cat"], refine=False).notices[0] == "Something was assumed."


def save(folder: Path, weights) -> Path:
    save_file(weights, folder / "small.safetensors")
    return folder / "small.safetensors"
