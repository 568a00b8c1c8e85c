"""A photograph in Python: class names in, labels out, a dab, labels again."""

# %%
import numpy as np
from skimage import data

import napari_wildseg as ws

photo = data.coffee()
segmenter = ws.Segmenter()  # the starter, which is part of the package
segmenter.set_image(photo)  # encoded once
result = segmenter.segment("cup of coffee, spoon, table")

# %%
for info in result.classes:
    share = (result.labels == info.id).mean()
    print(f"{info.id} {info.name}: {share:.1%} of the photograph")

# %% The spoon's bowl is where you say it is: a dab of label 2.
corrections = np.full(photo.shape[:2], -1, np.int16)  # -1: not corrected
corrections[270:290, 350:375] = 2
result = segmenter.refine(corrections)
assert (result.labels[270:290, 350:375] == 2).all()
print(f"spoon: {(result.labels == 2).mean():.1%} after one dab")

# %% Names that fit, for an image you do not know.
print(segmenter.suggest("coco", top=3))

# %% The ending chooses the format.
result.save("coffee.png", overwrite=True)
result.save("coffee.tif", overwrite=True)
