import pytest

from contract.errors import DataError
from contract.labels import Labels


def test_names_are_sorted_and_unique_as_imagefolder_does():
    assert Labels.from_names(["b", "a", "b", "B"]).names == ("B", "a", "b")


def test_index_is_the_position():
    labels = Labels(("ant", "bee"))
    assert [labels.index(name) for name in labels.names] == [0, 1]


def test_an_unknown_label_is_refused_with_some_that_are_known():
    with pytest.raises(DataError, match="'fly' is not in the train channel, which has 2: ant, bee"):
        Labels(("ant", "bee")).index("fly")


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", "a\nb", "\x00"])
def test_a_name_unfit_for_a_folder_or_a_cell_is_refused(name):
    with pytest.raises(DataError):
        Labels(("fine", name))


def test_a_label_stands_once():
    with pytest.raises(DataError, match="stands twice"):
        Labels(("a", "a"))


def test_labels_of_any_script_are_fine():
    assert len(Labels(("\u00dcn\u00efcode", "\u72ac", "001.affenpinscher", "a b"))) == 4
