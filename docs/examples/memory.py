"""Micrographs: what two finished images teach about a class that the model does not know.

The images are generated, so that anybody can run this; expect other figures on yours.
"""

# %%
import numpy as np
from scipy import ndimage

import napari_wildseg as ws


def micrograph(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark blobs on stained tissue, and where they are."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:160, :200]
    mask = np.zeros((160, 200), bool)
    for _ in range(12):
        y, x = random.uniform(0, 160), random.uniform(0, 200)
        mask |= (rows - y) ** 2 + (columns - x) ** 2 < random.uniform(7, 13) ** 2
    grain = ndimage.gaussian_filter(random.normal(size=(160, 200, 3)), (1.5, 1.5, 0)) * 60
    image = np.where(mask[..., None], (128, 82, 150), (226, 170, 200)) + grain
    return image.clip(0, 255).astype(np.uint8), mask


def iou(labels: np.ndarray, mask: np.ndarray) -> float:
    return ((labels == 1) & mask).sum() / ((labels == 1) | mask).sum()


# %% From the name alone.
image, mask = micrograph(9)
segmenter = ws.Segmenter()
segmenter.set_image(image)
before = iou(segmenter.segment("nucleus").labels, mask)

# %% Two images that a person has finished: here, their true masks.
memory = ws.ClassMemory()
segmenter = ws.Segmenter(memory=memory)
for seed in (1, 2):
    finished, truth = micrograph(seed)
    segmenter.set_image(finished)
    segmenter.segment("nucleus")
    segmenter.refine(truth.astype(np.int16))
    segmenter.remember(finished=True)
memory.save("cells.wildmemory", overwrite=True)

# %% The first image again, with what the two taught.
segmenter.set_image(image)
result = segmenter.segment("nucleus")
after = iou(result.labels, mask)
print(result.notices)
print(f"mean IoU of the nuclei: {before:.2f} from the name alone, {after:.2f} with the memory")
assert after > before
