"""Train the tiny CLIP model that the tests use: a ViT of a few hundred kilobytes.

    python training/tiny_clip.py first.safetensors
    python training/tiny_clip.py tiny_clip.safetensors --resume first.safetensors --seed 1

An image tower (4 blocks, patches of 8 pixels) and a text tower (2 blocks, ten words) learn which
captions ("red", "circle", "red circle") are true of pictures of one or two coloured shapes. The
supervision is by captions of whole pictures only; no mask and no position is used. The pairwise
sigmoid loss of SigLIP (Zhai et al. 2023, arXiv 2303.15343) is put on four readouts: the class
token; what it gathers in the last block; and the best patch of the last block and of the dense
readout (multiple-instance learning: a caption is true if it is true of some patch). The last
three give such a small model what large ones get from much data: tokens that mean what is under
them, and a class token that looks there.

Later in training, patches are left out at random and pictures come in several sizes, which makes
the model steady under the views of test-time augmentation. Four combinations of colour
and shape never occur in training and are used for validation. Weights are saved as float16 with
the configuration in the file's metadata, so that `load_model` opens it like any other checkpoint.
Same seed and machine, same file.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from tiny_shapes import COLOURS, HELD_OUT, SHAPES, SIDE, WORDS, Scene, draw_scene
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.tokenizers import WordTokenizer
from napari_wildseg.engine.relevance.tower import attention
from napari_wildseg.engine.relevance.vit import require_tower

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
CONTEXT = 5
PEAK_RATE = 1.5e-3
KEPT_PATCHES = 64
SIZES = (64, 80, 96, 128)
"""Sides that pictures are resized to, one a batch."""
CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": SIDE,
        "layers": 4,
        "width": 64,
        "head_width": 16,
        "patch_size": 8,
        "mlp_ratio": 3.0,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": len(WORDS) + 2,
        "width": 48,
        "heads": 3,
        "layers": 2,
    },
}


def captions() -> list[tuple[str, ...]]:
    """All captions of training, as tuples of words."""
    pairs = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in HELD_OUT]
    return [*pairs, *((c,) for c in COLOURS), *((s,) for s in SHAPES)]


def truth(scenes: list[Scene], texts: list[tuple[str, ...]]) -> tuple[Tensor, Tensor]:
    """Which captions are true of which scenes, and which may be learnt from: ``(scenes, texts)``.

    "square" is never true of a picture with nothing but red things, since red squares are held
    out; learning from that would be learning that red things are no squares.
    """
    true = torch.zeros(len(scenes), len(texts))
    used = torch.ones(len(scenes), len(texts))
    for i, scene in enumerate(scenes):
        for j, text in enumerate(texts):
            true[i, j] = any(set(text) <= set(thing) for thing in scene.things)
            if len(text) == 1 and not true[i, j]:
                rival = any(
                    (text[0], s) in HELD_OUT or (c, text[0]) in HELD_OUT for c, s in scene.things
                )
                used[i, j] = not rival
    return true, used


def pixels(scenes: list[Scene]) -> Tensor:
    """Network input ``(B, 3, SIDE, SIDE)``."""
    images = torch.from_numpy(np.stack([s.image for s in scenes])).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def wrapped(network: CLIP) -> CLIPModel:
    """The network as the product's methods want it."""
    tokenizer = WordTokenizer(WORDS, CONTEXT)
    device = torch.device("cpu")
    return CLIPModel("tiny", network, tokenizer, MEAN, STD, ("{}",), device, "tiny")


def readouts(model: CLIPModel, images: Tensor, drop: bool) -> tuple[Tensor, ...]:
    """Unit readouts: the class token and what it gathers in the last block, both ``(B, D)``; the
    patches of the last block and of the dense readout, both ``(B, n, D)``.
    """
    tower = require_tower(model)
    images, _ = tower.fit(images)
    x = tower.embed(images)
    patches = x.shape[1] - 1
    kept = min(KEPT_PATCHES, math.ceil(0.75 * patches)) if drop else patches
    chosen = torch.randperm(patches)[:kept] + 1
    x = torch.cat([x[:, :1], x[:, chosen]], 1)
    for block in tower.blocks[:-1]:
        x = block.forward(x, None)
    last = tower.blocks[-1]
    q, k, v = last.qkv(x, None)
    scale = v.shape[-1] ** -0.5
    own = attention(q / scale, q) + attention(k * scale, k)
    dense = tower.head_each(last.branch(own @ v)[:, 1:])
    out = attention(q, k) @ v
    gathered = tower.head_each(last.branch(out[:, :, :1]))[:, 0]
    x = last.finish(x, out)
    each = tower.head_each(x[:, 1:])
    return tuple(F.normalize(t, dim=-1) for t in (tower.head(x), gathered, each, dense))


def train(steps: int, batch: int, seed: int, resume: Path | None) -> CLIP:
    """Train, from scratch or from an earlier result."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = CLIP(**CONFIG)
    if resume is not None:
        network.load_state_dict({name: t.float() for name, t in load_file(resume).items()})
    model = wrapped(network)
    biases = torch.nn.Parameter(torch.tensor([-4.0, -4.0, -6.0, -6.0]))
    texts = captions()
    tokens = WordTokenizer(WORDS, CONTEXT)([" ".join(t) for t in texts])
    parameters = [*network.parameters(), biases]
    optimizer = torch.optim.AdamW(parameters, PEAK_RATE, (0.9, 0.98), weight_decay=0.02)
    # single things first: shapes are learnt sooner where nothing else is in the picture
    alone = 3000
    bank = [draw_scene(rng, held_out=False, most=1 if i < alone else 2) for i in range(7000)]
    images = pixels(bank)
    true, used = truth(bank, texts)
    start = time.time()
    for step in range(steps):
        rate = min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate
        # whole pictures of one size first, until shapes are told apart
        drop = step >= 0.45 * steps
        first, end = (0, alone) if step < steps // 4 else (alone // 2, len(bank))
        chosen = torch.from_numpy(rng.integers(first, end, size=batch))
        picture = images[chosen]
        if step % 2:
            picture = picture.flip(-1)
        side = SIZES[int(rng.integers(len(SIZES)))] if drop else SIDE
        if side != SIDE:
            picture = F.interpolate(picture, (side, side), mode="bilinear", antialias=True)
        text = F.normalize(network.encode_text(tokens), dim=-1)
        whole, gathered, each, dense = readouts(model, picture, drop)
        scale = network.logit_scale.exp()
        logits = [
            scale * whole @ text.T + biases[0],
            scale * gathered @ text.T + biases[1],
            (scale * each @ text.T + biases[2]).logsumexp(1),
            (scale * dense @ text.T + biases[3]).logsumexp(1),
        ]
        losses = [
            10 * F.binary_cross_entropy_with_logits(part, true[chosen], used[chosen])
            for part in logits
        ]
        loss = sum(losses)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            parts = " ".join(f"{part.item():.3f}" for part in losses)
            print(
                f"step {step} losses {parts} scale {scale:.1f} {time.time() - start:.0f} s",
                flush=True,
            )
    return network.eval().requires_grad_(False)


@torch.no_grad()
def validate(network: CLIP, scenes: int = 300) -> float:
    """Share of held-out things that are named right among all combinations."""
    rng = np.random.default_rng(10_000)
    held = [draw_scene(rng, held_out=True, most=1) for _ in range(scenes)]
    names = [(c, s) for c in COLOURS for s in SHAPES]
    text = wrapped(network).encode_text([" ".join(n) for n in names])
    best = (F.normalize(network.encode_image(pixels(held)), dim=-1) @ text.T).argmax(1).tolist()
    return float(np.mean([names[b] == s.things[0] for b, s in zip(best, held, strict=True)]))


def save(network: CLIP, path: Path) -> None:
    """Write weights (float16) and configuration."""
    config = {
        "model_cfg": CONFIG,
        "preprocess_cfg": {"mean": MEAN, "std": STD},
        "words": WORDS,
        "templates": ["{}"],
    }
    state = {name: t.half().contiguous() for name, t in network.state_dict().items()}
    save_file(state, path, metadata={"open_clip_config": json.dumps(config)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--batch", type=int, default=56)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="go on from this result")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = train(arguments.steps, arguments.batch, arguments.seed, arguments.resume)
    print(f"held-out combinations named right: {validate(network):.3f}")
    save(network, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
