"""A folder of photographs into a COCO data set, and which of them to look at first."""

# %%
import json
from pathlib import Path

from PIL import Image
from skimage import data

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps

photos = Path("photos")
photos.mkdir(exist_ok=True)
for name in ("chelsea", "coffee", "rocket"):
    Image.fromarray(getattr(data, name)()).save(photos / f"{name}.png")

# %% Each photograph gets only the names that the model finds in it.
batch = Batch(
    str(photos), "cat, cup, rocket", Path("dataset"), format="coco", if_present=True, resume=True
)
for progress in batch_steps(batch):  # a generator: it may be stopped and run again
    if progress.record is not None:
        print(f"{progress.done} of {progress.total}: {progress.record.name}")

# %%
found = json.loads(Path("dataset/annotations/instances_train.json").read_text())
print(f"{len(found['annotations'])} regions in {len(found['images'])} images")

# %% The most uncertain photograph first.
queue = ReviewQueue(Path("dataset"))
print([record.name for record in queue.records])
