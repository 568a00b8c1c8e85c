"""Names of a large image: what the whole shows, or several of its windows."""

from __future__ import annotations

from napari_wildseg.engine.large import suggest_names


def scores(monkeypatch, *looks):
    """Suggest from looks that give these scores, the whole image's first."""
    monkeypatch.setattr(suggest_names, "_views_as_images", lambda encoding: iter(looks))
    monkeypatch.setattr(
        suggest_names, "tag", lambda look, *_: sorted(look.items(), key=lambda entry: -entry[1])
    )
    return suggest_names.suggest_large(None, None, [], [])


def test_the_whole_image_or_three_looks_find_a_name(monkeypatch):
    found = scores(
        monkeypatch,
        {"ship": 0.9, "cat": 0.1},
        {"cat": 0.7, "odd": 0.95},
        {"cat": 0.8},
        {"cat": 0.6, "dog": 0.9},
        {"dog": 0.8},
    )
    assert found == [("ship", 0.9), ("cat", 0.6), ("odd", 0.0), ("dog", 0.0)]


def test_where_there_are_few_looks_all_must_agree(monkeypatch):
    assert scores(monkeypatch, {"cat": 0.3}, {"cat": 0.7}) == [("cat", 0.3)]
    assert scores(monkeypatch, {"cat": 0.3}) == [("cat", 0.3)]
