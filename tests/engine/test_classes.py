"""Class names as annotators type them, and as files, tables and other programs hand them over."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wildseg.engine.classes import ClassInfo, class_colour, parse_classes
from napari_wildseg.engine.errors import InputError


def names(labels):
    return [c.name for c in parse_classes(labels)]


def prompts(labels):
    return [c.prompts for c in parse_classes(labels)]


def test_names_prompts_and_ids():
    classes = parse_classes("cat, cup of coffee=cup|mug,  road ")
    assert [c.id for c in classes] == [1, 2, 3]
    assert [c.name for c in classes] == ["cat", "cup of coffee", "road"]
    assert [c.prompts for c in classes] == [("cat",), ("cup", "mug"), ("road",)]
    assert [c.colour for c in classes] == [class_colour(i) for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\ndog\r\nbird", ["cat", "dog", "bird"]),
        ("cat,\ndog,\n", ["cat", "dog"]),
        ("cat,dog,,", ["cat", "dog"]),
        ("cat,,dog", ["cat", "dog"]),
        (" , ,cat, ,\n,\n, dog", ["cat", "dog"]),
        ("\n  \ncat\n\n", ["cat"]),
        ("traffic   light", ["traffic light"]),
        ('"salt, pepper", road', ["salt, pepper", "road"]),
        ('"salt, pepper" , road', ["salt, pepper", "road"]),
        ('\t"salt, pepper",road', ["salt, pepper", "road"]),
        ('a 5" pipe, road', ['a 5" pipe', "road"]),
        ('"the ""big"" one", road', ['the "big" one', "road"]),
        ("\ufeffcat,dog", ["cat", "dog"]),
    ],
)
def test_splitting(text, expected):
    assert names(text) == expected


def test_quotes_reach_over_prompts_or_around_them():
    assert prompts('"salt, pepper=salt|pepper, ground"') == [("salt", "pepper, ground")]
    assert prompts('"salt, pepper"=salt|"pepper, ground", cat') == [
        ("salt", "pepper, ground"),
        ("cat",),
    ]


def test_in_a_list_commas_and_quotes_are_part_of_the_name():
    assert names(["salt, pepper", '5" pipe']) == ["salt, pepper", '5" pipe']


def test_the_first_equals_sign_ends_the_name_and_repeated_prompts_count_once():
    assert prompts("a=b=c") == [("b=c",)]
    assert prompts("cat=kitten|cat|kitten") == [("kitten", "cat")]


def test_unicode_is_composed_and_kept():
    assert names("Café, 猫, собака, 👩‍🌾") == ["Café", "猫", "собака", "👩‍🌾"]
    assert names(["Cafe\u0301"]) == ["Caf\u00e9"]


@pytest.mark.parametrize(
    "text", ["cat, Cat", "cat,  CAT ", "Straße, STRASSE", "cat, ｃａｔ", "Café, CAFE\u0301"]
)
def test_the_same_name_twice_is_refused(text):
    with pytest.raises(InputError, match="is given twice"):
        parse_classes(text)


@pytest.mark.parametrize("labels", ["", "  ", "\n\n", ",", " , ,", []])
def test_no_names_are_refused(labels):
    with pytest.raises(InputError, match="No class names were given"):
        parse_classes(labels)


@pytest.mark.parametrize(
    "labels", [["cat", "", "dog"], ["cat", ""], ["  "], "cat=", "=cat", "cat=a||b", ["\u200b"]]
)
def test_blank_names_and_prompts_are_refused(labels):
    with pytest.raises(InputError, match=r"Class \d has a blank name or prompt"):
        parse_classes(labels)


@pytest.mark.parametrize(
    "labels",
    [
        ["a\x00b"],
        ["a\x1bb"],
        "cat=\x07bell",
        ["\ud800"],
        "cat\u202etac",
        "cat=\u2067tac",
        ["c\u200eat"],
        ["c\u00adat"],
        [ClassInfo(1, "c\u202eat", ("cat",), (0, 0, 0))],
    ],
)
def test_control_characters_are_refused(labels):
    with pytest.raises(InputError, match=r"control character U\+"):
        parse_classes(labels)


@pytest.mark.parametrize("text", ['"salt, pepper', 'cat, "dog', '"salt,\npepper", road'])
def test_an_open_quote_is_refused(text):
    with pytest.raises(InputError, match="A quote in the class names is not closed"):
        parse_classes(text)


def test_254_classes_are_taken_and_no_more():
    assert [c.id for c in parse_classes([f"c{i}" for i in range(254)])] == list(range(1, 255))
    with pytest.raises(InputError, match="255 classes were given; a label image holds at most 254"):
        parse_classes(",".join(f"c{i}" for i in range(255)))


def test_long_names_are_refused_with_a_short_message():
    assert names("a" * 200) == ["a" * 200]
    with pytest.raises(InputError, match="has 201 characters; at most 200") as caught:
        parse_classes("a" * 201)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("entry", [5, None, ("a", "b")])
def test_what_is_no_text_is_refused(entry):
    with pytest.raises(InputError, match="a class name must be text"):
        parse_classes([entry])


def info(class_id, name="cat", asked=("cat",)):
    return ClassInfo(class_id, name, asked, (1, 2, 3))


def test_ready_classes_keep_their_ids_gaps_included():
    given_classes = (info(7, "dog"), info(3), info(254, "sky"))
    assert parse_classes(given_classes) == given_classes


def test_ready_classes_and_text_mix_unless_ids_meet():
    assert [c.id for c in parse_classes([info(9), "dog"])] == [9, 2]
    with pytest.raises(InputError, match="Two classes have the same id"):
        parse_classes([info(2), "dog"])


@pytest.mark.parametrize("class_id", [0, -1, 255, 300])
def test_ready_classes_with_an_id_that_is_no_label_are_refused(class_id):
    with pytest.raises(InputError, match=f"has the id {class_id}: give a number from 1 to 254"):
        parse_classes([info(class_id)])


@pytest.mark.parametrize("bad", [info(1, " "), info(1, asked=()), info(1, asked=("",))])
def test_ready_classes_without_name_or_prompt_are_refused(bad):
    with pytest.raises(InputError, match="blank name or prompt"):
        parse_classes([bad])


@given(st.text(max_size=60))
def test_any_text_gives_classes_or_one_sentence(text):
    classes, sentence = (), ""
    try:
        classes = parse_classes(text)
    except InputError as error:
        sentence = str(error)
    assert bool(classes) != bool(sentence)
    assert "\n" not in sentence
    assert [c.id for c in classes] == list(range(1, len(classes) + 1))
    assert all(c.name == " ".join(c.name.split()) != "" for c in classes)
    assert all(c.prompts and all(c.prompts) for c in classes)


@given(
    st.lists(
        st.text(string.ascii_lowercase + ',"é ', min_size=1, max_size=8).map(str.strip),
        min_size=1,
        max_size=5,
        unique_by=lambda name: " ".join(name.split()),
    ).filter(all)
)
def test_quoting_every_name_brings_it_back(given_names):
    text = ", ".join('"' + name.replace('"', '""') + '"' for name in given_names)
    assert names(text) == [" ".join(name.split()) for name in given_names]
