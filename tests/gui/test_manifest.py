"""What the manifest promises is there."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from npe2 import PluginManifest

import napari_wildseg

MANIFEST = Path(napari_wildseg.__file__).with_name("napari.yaml")
PARSED = yaml.safe_load(MANIFEST.read_text())
COMMANDS = {c["id"]: c["python_name"] for c in PARSED["contributions"]["commands"]}


def test_manifest_is_valid():
    PluginManifest.from_file(MANIFEST).validate_imports()


@pytest.mark.parametrize("name", COMMANDS.values())
def test_command_resolves(name):
    module, _, attribute = name.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


def test_every_contribution_points_to_a_command():
    contributions = PARSED["contributions"]
    used = [
        entry["command"]
        for kind in ("widgets", "sample_data", "readers", "writers")
        for entry in contributions[kind]
    ]
    used += [item["command"] for menu in contributions["menus"].values() for item in menu]
    assert set(used) == set(COMMANDS)


def test_preferences_are_those_of_the_code():
    from napari_wildseg.gui.preferences import Settings

    page = PARSED["contributions"]["configurations"]["segmentation"]["properties"]
    assert {name: entry["default"] for name, entry in page.items()} == vars(Settings())


def test_samples_are_photographs_with_names_that_fit():
    from napari_wildseg.engine.classes import parse_classes

    for sample in PARSED["contributions"]["sample_data"]:
        module, _, function = COMMANDS[sample["command"]].partition(":")
        [(data, about, kind)] = getattr(importlib.import_module(module), function)()
        assert kind == "image"
        assert data.dtype == np.uint8
        assert about["name"] == sample["key"]
        assert parse_classes(about["metadata"]["wildseg"]["classes"])
