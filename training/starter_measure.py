"""Measure the starter alone on an evaluation data set: one view, raw maps, no refinement.

    python training/starter_measure.py DIR [--threshold 0.3]

DIR holds images/, masks/ and classes.json (or labels.json with names per image), as
`wildseg evaluate` takes it. Labels are known: the classes that cover at least 1 % of the mask;
pixels of other classes are ignored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from napari_wildseg.engine.models import starter


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean precision at the ranks of the true names."""
    hits = truth[np.argsort(-scores, kind="stable")]
    return float((hits.cumsum() / np.arange(1, len(hits) + 1))[hits].mean())


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threshold", type=float, default=0.3)
    args = parser.parse_args()
    model = starter.load_starter()
    whole_set = args.folder / "classes.json"
    shared = json.loads(whole_set.read_text()) if whole_set.exists() else None
    each = {} if shared else json.loads((args.folder / "labels.json").read_text())
    inter, union = np.zeros(256), np.zeros(256)
    foreground, precision = [], []
    for path in sorted((args.folder / "images").iterdir()):
        classes = shared or each[path.stem]
        mask = np.asarray(Image.open(args.folder / "masks" / f"{path.stem}.png"))
        mask = mask if shared else np.where(mask == 255, 1, mask)
        ids = [int(i) for i in classes if (mask == int(i)).mean() >= 0.01]
        if not ids:
            continue
        image = Image.open(path).convert("RGB")
        short = min(image.size)
        scale = min(1.0, 480 / short) if short > 320 else 320 / short
        size = [max(64, round(s * scale / 32) * 32) for s in image.size]
        x = torch.from_numpy(np.asarray(image.resize(size, Image.Resampling.BILINEAR)).copy())
        x = ((x.permute(2, 0, 1)[None].float() - 127) / 128).to(memory_format=torch.channels_last)
        features = model.visual.trunk.forward_features(x)[0]
        text = model.encode_text([classes[str(i)] for i in ids])
        maps = torch.einsum("kc,chw->khw", text, features)
        maps = F.interpolate(maps[None], mask.shape, mode="bilinear")[0]
        maps = maps - maps.amin((1, 2), keepdim=True)
        top, which = (maps / maps.amax((1, 2), keepdim=True)).max(0)
        found = np.where(top.numpy() > args.threshold, np.array(ids)[which.numpy()], 0)
        valid = np.isin(mask, [0, *ids])
        for k in (0, *ids):
            both, either = (found == k) & (mask == k), (found == k) | (mask == k)
            inter[k] += (both & valid).sum()
            union[k] += (either & valid).sum()
        foreground.append(((found > 0) & (mask > 0) & valid).sum())
        foreground[-1] /= max(1, (((found > 0) | (mask > 0)) & valid).sum())
        if shared:
            names = list(shared.values())
            scores = (model.encode_text(names) @ features.mean((1, 2))).numpy()
            truth = np.array([(mask == int(i)).any() for i in shared])
            precision.append(average_precision(scores, truth))
    if shared:
        print(f"mIoU {np.mean(inter[union > 0] / union[union > 0]):.3f}", end=" ")
        print(
            f"ranking of all {len(shared)} names, mean average precision {np.mean(precision):.3f}"
        )
    else:
        print(f"mean foreground IoU {np.mean(foreground):.3f}")
    print(f"{len(foreground)} images")


if __name__ == "__main__":
    main()
