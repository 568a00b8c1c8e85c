"""Train the tiny CLIP model that the tests use: a ViT of a few hundred kilobytes.

    python training/tiny_clip.py tests/data/tiny_clip.safetensors

An image tower (4 blocks, patches of 8 pixels) and a text tower (2 blocks, a vocabulary of eleven
words) learn which captions are true of a picture, by the pairwise sigmoid loss of SigLIP (Zhai et
al. 2023, arXiv 2303.15343) over captions of one word ("red"), two ("red circle"), in pictures of
one to three coloured shapes. Five combinations of colour and shape never occur in training and are
used for validation. Weights are saved as float16, with the configuration in the file's metadata,
so that `load_model` opens it like any other checkpoint. A few minutes on two cores; same seed and
machine, same file.
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
from safetensors.torch import save_file
from tiny_shapes import COLOURS, HELD_OUT, SHAPES, SIDE, WORDS, Scene, draw_scene
from torch.nn import functional as F

from napari_wildseg.engine.models.tokenizers import WordTokenizer

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
CONTEXT = 6
PEAK_RATE = 1.5e-3
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


def truth(scenes: list[Scene], texts: list[tuple[str, ...]]) -> torch.Tensor:
    """Which captions are true of which scenes: ``(scenes, texts)`` of 0 and 1."""
    return torch.tensor(
        [[float(any(set(t) <= set(thing) for thing in s.things)) for t in texts] for s in scenes]
    )


def pixels(scenes: list[Scene]) -> torch.Tensor:
    """Network input ``(B, 3, SIDE, SIDE)``."""
    images = torch.from_numpy(np.stack([s.image for s in scenes])).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def train(steps: int, batch: int, seed: int) -> CLIP:
    """Train from scratch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = CLIP(**CONFIG)
    bias = torch.nn.Parameter(torch.tensor(-4.0))
    texts = captions()
    tokens = WordTokenizer(WORDS, CONTEXT)([" ".join(t) for t in texts])
    optimizer = torch.optim.AdamW(
        [*model.parameters(), bias], lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.02
    )
    # single things first: shapes are learnt sooner where nothing else is in the picture
    bank = [draw_scene(rng, held_out=False, most=1 if i < 8000 else 3) for i in range(20000)]
    start = time.time()
    for step in range(steps):
        rate = min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate
        first, end = (0, 8000) if step < steps // 3 else (4000, len(bank))
        scenes = [bank[i] for i in rng.integers(first, end, size=batch)]
        image = F.normalize(model.encode_image(pixels(scenes)), dim=-1)
        text = F.normalize(model.encode_text(tokens), dim=-1)
        logits = model.logit_scale.exp() * image @ text.T + bias
        loss = F.binary_cross_entropy_with_logits(logits, truth(scenes, texts)) * 10
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(
                f"step {step} loss {loss:.4f} scale {model.logit_scale.exp():.1f} "
                f"{time.time() - start:.0f} s",
                flush=True,
            )
    return model.eval()


@torch.no_grad()
def validate(model: CLIP, scenes: int = 300) -> float:
    """Share of held-out scenes whose held-out combination scores above all other combinations."""
    rng = np.random.default_rng(10_000)
    held = [draw_scene(rng, held_out=True, most=1) for _ in range(scenes)]
    names = [(c, s) for c in COLOURS for s in SHAPES]
    tokens = WordTokenizer(WORDS, CONTEXT)([" ".join(n) for n in names])
    image = F.normalize(model.encode_image(pixels(held)), dim=-1)
    text = F.normalize(model.encode_text(tokens), dim=-1)
    best = (image @ text.T).argmax(1).tolist()
    return float(np.mean([names[b] == s.things[0] for b, s in zip(best, held, strict=True)]))


def save(model: CLIP, path: Path) -> None:
    """Write weights (float16) and configuration."""
    config = {
        "model_cfg": CONFIG,
        "preprocess_cfg": {"mean": MEAN, "std": STD},
        "words": WORDS,
        "templates": ["{}"],
    }
    state = {name: t.half().contiguous() for name, t in model.state_dict().items()}
    save_file(state, path, metadata={"open_clip_config": json.dumps(config)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = train(arguments.steps, arguments.batch, arguments.seed)
    print(f"held-out combinations named right: {validate(model):.3f}")
    save(model, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
