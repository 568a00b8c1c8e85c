"""Vocabularies: the bundled lists are clean, and files are read as an annotator means them."""

from __future__ import annotations

import pytest

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.vocabularies import (
    BUNDLED,
    VOCABULARIES,
    load_vocabulary,
    search_names,
)


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("voc", 20, "aeroplane", "tv monitor"),
        ("coco", 80, "person", "toothbrush"),
        ("ade20k", 150, "wall", "flag"),
        ("imagenet", 1000, "tench", "toilet tissue"),
        ("lvis", 1203, "aerosol can", "zucchini"),
    ],
)
def test_bundled_lists_are_complete_and_clean(name, count, first, last):
    names = load_vocabulary(name)
    assert len(names) == count
    assert (names[0], names[-1]) == (first, last)
    assert len({n.lower() for n in names}) == count
    assert all(n == " ".join(n.split()) and n.isascii() and "," not in n for n in names)


def test_names_of_lists_ignore_case():
    assert load_vocabulary("COCO") == load_vocabulary("coco")


def test_text_file_skips_blanks_comments_and_repeats(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff# my classes\ncat\n\n  cup   of coffee \ncat\n", encoding="utf-8")
    assert load_vocabulary(path) == ("cat", "cup of coffee")


def test_csv_takes_the_named_column(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('id,name\n1,"cat, tabby"\n2,dog\n\n', encoding="utf-8")
    assert load_vocabulary(path) == ("cat, tabby", "dog")


def test_csv_without_header_takes_the_first_column(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("cat,1\ndog,2\n", encoding="utf-8")
    assert load_vocabulary(path) == ("cat", "dog")


@pytest.mark.parametrize("content", ["", "# nothing\n\n"])
def test_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="no names"):
        load_vocabulary(path)


def test_binary_file_is_refused(tmp_path):
    path = tmp_path / "photo.txt"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_vocabulary(path)


def test_unknown_name_says_what_exists():
    with pytest.raises(InputError, match=", ".join(BUNDLED)):
        load_vocabulary("pascal-context")


def test_nouns_of_imagenet22k_come_from_timm():
    names = load_vocabulary("imagenet22k")
    assert len(names) == VOCABULARIES["imagenet22k"].count
    assert {"theremin", "samovar", "wombat"} <= set(names)
    assert all(n == " ".join(n.split()) and "," not in n for n in names)


def test_every_list_states_its_source_and_licence():
    for name, one in VOCABULARIES.items():
        assert one.name == name
        assert all((one.title, one.source, one.licence))


def test_a_name_that_is_too_long_is_refused_with_the_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("cat\n" + "x" * 201 + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine.txt: the name .* has 201 characters"):
        load_vocabulary(path)


def test_search_puts_the_name_itself_first_then_beginnings_then_words():
    names = ("hot dog", "dogfish", "dog", "bulldog", "Dog rose", "cat", "STRASSE")
    assert search_names(names, "dog") == ["dog", "dogfish", "Dog rose", "hot dog", "bulldog"]
    assert search_names(names, "  HOT   do ") == ["hot dog"]
    assert search_names(names, "straße") == ["STRASSE"]
    assert search_names(names, "dog", 2) == ["dog", "dogfish"]
    assert search_names(names, "zebra") == []
