"""Where in the image a suggested name has its evidence."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.tagging.places import local_embeddings
from napari_wildseg.engine.names.tagging.scores import local_shares, rivals_beside


@torch.no_grad()
def name_maps(
    encoding: ImageEncoding, model: CLIPModel, names: Sequence[str], rivals: Sequence[str]
) -> NDArray[np.float32]:
    """Return each name's share at each position, from the encodings that `tag` used.

    Returns ``(K, h, w)`` float32 in [0, 1].
    """
    places = local_embeddings(encoding, model)
    others = rivals_beside(names, rivals)
    text, against = (model.encode_text(words).cpu() for words in (names, others))
    shares = local_shares(places.flatten(1), text, against, model)
    return np.asarray(shares.reshape(-1, *places.shape[1:]).numpy())
