"""Our OME-Zarr, opened by ome-zarr and checked by ome-zarr-models."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.io import LabelImage, read_labels, write_labels
from napari_wildseg.io.formats import ome_zarr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ome-zarr warns of its own deprecated parts at import
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url
    from ome_zarr_models.v04.image import Image as ImageModel
    from ome_zarr_models.v04.image_label import ImageLabel as LabelModel

import zarr


def stack(shape=(3, 40, 60)):
    values = np.zeros(shape, np.uint8)
    values[..., 5:20, 10:30] = 1
    values[..., 25:30, :9] = 7
    classes = (ClassInfo(1, "cat", ("cat",), (230, 10, 20)), ClassInfo(7, "dog", ("d",), (0, 9, 8)))
    ndim = len(shape)
    return LabelImage(
        values,
        classes,
        scale=(2.0, 0.5, 0.25)[-ndim:],
        units="micrometer",
        translate=(1.0, 2.0, 3.0)[-ndim:],
    )


@pytest.mark.parametrize("shape", [(40, 60), (3, 40, 60)])
def test_ome_zarr_reads_labels_names_and_place(tmp_path, shape):
    labels = stack(shape)
    write_labels(tmp_path / "x.zarr", labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (node,) = reader.Reader(parse_url(tmp_path / "x.zarr/labels/wildseg"))()
        found = np.asarray(node.data[0])
    assert (found == labels.labels).all()
    assert [axis["name"] for axis in node.metadata["axes"]] == list(labels.axes)
    assert {axis["unit"] for axis in node.metadata["axes"]} == {"micrometer"}
    scale, translation = node.metadata["coordinateTransformations"][0]
    assert scale["scale"] == list(labels.scale)
    assert translation["translation"] == list(labels.translate)
    assert node.metadata["properties"][7]["class"] == "dog"
    np.testing.assert_allclose(node.metadata["color"][1][:3], np.array([230, 10, 20]) / 255)


def test_metadata_are_valid(tmp_path):
    labels = stack((2100, 1500))
    picture = np.random.default_rng(0).integers(0, 255, (2100, 1500, 3), np.uint8)
    ome_zarr.write(tmp_path / "x.zarr", labels, picture=picture)
    root = zarr.open_group(tmp_path / "x.zarr", mode="r")
    ImageModel.from_zarr(root)
    model = LabelModel.from_zarr(root["labels/wildseg"])
    assert len(model.attributes.multiscales[0].datasets) == 3
    assert model.attributes.image_label.colors


def test_levels_of_a_picture_lie_on_each_other(tmp_path):
    """A pixel of a mean of blocks is centred between theirs, one that was picked on its own."""
    labels = stack((2100, 1500))
    ome_zarr.write(tmp_path / "x.zarr", labels, picture=np.zeros((2100, 1500), np.uint8))
    root = zarr.open_group(tmp_path / "x.zarr", mode="r")
    for group, shift in ((root, 0.5), (root["labels/wildseg"], 0)):
        first, second = (
            d["coordinateTransformations"] for d in group.attrs["multiscales"][0]["datasets"][:2]
        )
        assert np.divide(second[0]["scale"], first[0]["scale"])[-2:].tolist() == [2, 2]
        moved = np.subtract(second[1]["translation"], first[1]["translation"])
        assert (moved[-2:] / labels.scale).tolist() == [shift, shift]


def test_files_that_ome_zarr_writes_are_read(tmp_path):
    values = stack().labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ome_zarr.format import FormatV04, FormatV05
        from ome_zarr.writer import write_labels as write

        for number, fmt in ((2, FormatV04()), (3, FormatV05())):
            group = zarr.open_group(tmp_path / f"{number}.zarr", mode="w", zarr_format=number)
            write(
                values,
                group,
                name="cells",
                fmt=fmt,
                axes="zyx",
                scale_factors=[2],
                label_metadata={"colors": [{"label-value": 7, "rgba": [1, 2, 3, 255]}]},
            )
            found = read_labels(tmp_path / f"{number}.zarr")
            assert (found.labels == values).all()
            assert found.axes == "zyx"
            assert found.classes[1].colour == (1, 2, 3)
