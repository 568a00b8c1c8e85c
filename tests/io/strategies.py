"""Label images for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.io import LabelImage

# Letters of any script; no control characters, which class names cannot have.
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12
)
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def class_lists(draw, max_size=5):
    """Classes with any ids, names and colours."""
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=max_size))
    ids = draw(st.lists(st.integers(1, 254), unique=True, min_size=len(names), max_size=len(names)))
    return tuple(
        ClassInfo(number, name, (name, *draw(st.lists(NAMES, max_size=1))), draw(COLOURS))
        for number, name in zip(sorted(ids), names, strict=True)
    )


@st.composite
def label_images(draw, max_side=12, unlabelled=True, corrections=False, stacks=False):
    """Label images with all that a file may tell."""
    axes = draw(st.sampled_from(["yx", "zyx", "tyx", "tzyx"])) if stacks else "yx"
    ndim = len(axes)
    classes = draw(class_lists())
    values = [0, *[info.id for info in classes], *([255] if unlabelled else [])]
    shape = draw(st.tuples(*[st.integers(1, 3)] * (ndim - 2), *[st.integers(1, max_side)] * 2))
    labels = draw(arrays(np.uint8, shape, elements=st.sampled_from(values)))
    given = None
    if corrections:
        given = draw(arrays(np.int16, shape, elements=st.sampled_from([-1, *values[:2]])))
    scale = st.floats(1e-3, 1e3, allow_nan=False)
    place = st.floats(-1e3, 1e3, allow_nan=False)
    matrix = st.tuples(*[st.tuples(*[place] * (ndim + 1))] * (ndim + 1))
    return LabelImage(
        labels,
        classes,
        scale=draw(st.tuples(*[scale] * ndim)),
        axes=axes,
        translate=draw(st.sampled_from([(), tuple(range(ndim))]) | st.tuples(*[place] * ndim)),
        affine=draw(st.none() | matrix),
        units=draw(st.sampled_from(["pixel", "micrometer", "millimeter"])),
        image=draw(st.sampled_from(["", "photo", "größe 漢字"])),
        model=draw(st.sampled_from(["", "starter"])),
        settings=draw(st.sampled_from([{}, {"threshold": 0.5, "views": "default"}])),
        corrections=given,
    )
