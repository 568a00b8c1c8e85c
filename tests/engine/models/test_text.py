"""Text towers without padding: the same vectors as open_clip's own."""

from __future__ import annotations

import pytest
import torch
from tests.engine.small_models import make_model
from torch.nn import functional as F

from napari_wildseg.engine.models import starter
from napari_wildseg.engine.models.clip_model import embed_sentences

NAMES = ["cat", "a red sports car on a road", "cup of coffee", "", "x" * 300, "dog", "a b c d e f"]


@pytest.mark.parametrize("kind", ["starter", "RN", "resnet"])
def test_vectors_are_those_of_the_padded_sentences(kind):
    model = starter.load_starter() if kind == "starter" else make_model(kind)
    with torch.no_grad():
        whole = F.normalize(model.network.encode_text(model.tokenizer(NAMES)), dim=-1)
    for batch in (2, 256):
        torch.testing.assert_close(
            embed_sentences(model, NAMES, batch=batch), whole, rtol=0, atol=2e-5
        )


def test_lists_are_encoded_once_and_forgotten_in_turn():
    model = make_model("RN")
    lists = [tuple(f"{a}{i}" for i in range(3)) for a in "abcdef"]
    first = model.encode_list(lists[0])
    assert model.encode_list(lists[0]) is first
    torch.testing.assert_close(first, model.encode_text(lists[0]), rtol=0, atol=1e-6)
    for names in lists[1:]:
        model.encode_list(names)
    assert not model.has_list(lists[0])
    assert model.has_list(lists[-1])
