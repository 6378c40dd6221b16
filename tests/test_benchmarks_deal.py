"""Dealing a data set anew: every picture once, as many of each class in each split as before."""

from benchmarks.deal import deal


def by_content(root):
    """Class and content of every picture below a split's folder."""
    return sorted((one.parent.name, one.read_bytes()) for one in root.rglob("*") if one.is_file())


def test_every_picture_is_dealt_once_and_its_class_is_kept(pictures, tmp_path):
    channels = {name: pictures / name for name in ("train", "validation", "test")}
    dealt = deal(channels, tmp_path / "dealt", seed=1)
    before = sorted(one for root in channels.values() for one in by_content(root))
    after = sorted(one for root in dealt.values() for one in by_content(root))
    assert after == before


def test_splits_stay_as_large_and_hold_other_pictures(pictures, tmp_path):
    channels = {name: pictures / name for name in ("train", "validation", "test")}
    dealt = deal(channels, tmp_path / "dealt", seed=1)
    for name, root in channels.items():
        labels = [label for label, _ in by_content(root)]
        assert [label for label, _ in by_content(dealt[name])] == labels
        assert by_content(dealt[name]) != by_content(root)


def test_a_seed_deals_the_same_again_and_another_one_otherwise(pictures, tmp_path):
    channels = {name: pictures / name for name in ("train", "test")}
    first, again, other = (
        by_content(deal(channels, tmp_path / name, seed)["test"])
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first != other
