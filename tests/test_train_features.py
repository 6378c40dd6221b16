import numpy as np
import pytest
import torch
from kinds import encode, kind, rgb
from training import CPU, split_of, tiny_run

from classifier.network import build_network
from classifier.preprocess import decode_picture, decode_resized
from contract.errors import DataError, HyperparameterError
from contract.hyperparameters import parse_hyperparameters
from contract.manifest import Preprocess
from train.features import FeatureTable, Source, close_up, compute_features, compute_rows
from train.pictures import PictureStore
from train.standardize import FEATURE_DEVIATION, Standardizer
from train.trunk_pass import TorchTrunk
from train.views import Views

PREPROCESS = Preprocess(resize_px=36, crop_px=32)


def views_for(**given):
    raw = {name.replace("_", "-"): text for name, text in given.items()}
    return Views(parse_hyperparameters(raw).values, PREPROCESS)


def decode(data):
    return decode_picture(data, PREPROCESS)


def whole(data):
    return decode_resized(data, 41)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("squeezenet1_1", 3, image_size=32)


@pytest.fixture
def files(tmp_path):
    """40 pictures, so that the last batch is smaller."""
    paths = []
    for number in range(40):
        paths.append(tmp_path / f"{number:02}.png")
        paths[-1].write_bytes(
            encode(rgb(64, 48).point(lambda value, n=number: value + 3 * n), "PNG")
        )
    return split_of(*paths)


def table_of(network, split, *, views=None, reader=decode, max_unreadable=0.05) -> FeatureTable:
    source = Source(trunk=TorchTrunk(network, CPU), width=1512, decode=reader, views=views)
    return compute_features(
        source, split, CPU, max_unreadable=max_unreadable, on_picture=lambda count: None
    )


def test_features_are_what_the_trunk_makes_of_each_picture(network, files):
    table = table_of(network, files)
    assert (table.views_VND.shape, table.pictures) == ((1, 40, 1512), files.pictures)
    for index in (0, 31, 32, 39):
        pixels = torch.from_numpy(decode(files.pictures[index].path.read_bytes()))[None]
        with torch.inference_mode():
            expected = network.eval().features(pixels)[0]
        assert torch.allclose(table.views_VND[0, index], expected, atol=1e-5)


def test_the_second_view_is_the_mirrored_centre(network, files):
    table = table_of(network, files, views=views_for(views="2"))
    pixels = decode(files.pictures[3].path.read_bytes())
    for view, shown in enumerate((pixels, pixels[:, ::-1].copy())):
        with torch.inference_mode():
            expected = network.features(torch.from_numpy(shown)[None])[0]
        assert torch.allclose(table.views_VND[view, 3], expected, atol=1e-5)


def test_random_views_begin_with_the_centre_and_are_seeded(files):
    pixels = whole(files.pictures[0].path.read_bytes())
    shown = views_for(augment="crop_color_transform")(pixels, 5)
    assert (shown.shape, shown.dtype) == ((4, 32, 32, 3), np.uint8)
    assert np.array_equal(shown, views_for(augment="crop_color_transform")(pixels, 5))
    others = views_for(augment="crop_color_transform")(pixels, 6)
    assert np.array_equal(shown[0], others[0])
    assert not any(np.array_equal(shown[1], other) for other in (*shown[2:], *others[1:]))


def test_the_centre_view_of_a_whole_picture_is_nearly_what_the_server_sees(files):
    for picture in files.pictures[:3]:
        data = picture.path.read_bytes()
        centre = views_for(augment="crop")(whole(data), 0)[0]
        assert np.abs(centre.astype(int) - decode(data)).mean() < 2.5  # resized twice


def test_drawing_views_leaves_the_random_numbers_alone(files):
    pixels = whole(files.pictures[0].path.read_bytes())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    views_for(augment="crop")(pixels, 0)
    assert torch.equal(torch.rand(1), expected)


def test_more_than_two_views_need_augmentation():
    with pytest.raises(HyperparameterError, match="at most 2"):
        views_for(views="3")
    assert views_for(views="7", augment="crop").num_views == 7


def with_broken(tmp_path, good, broken):
    paths = []
    for number in range(good + broken):
        paths.append(tmp_path / f"{number:02}.jpg")
        data = kind("jpeg")
        paths[-1].write_bytes(data if number % (good + broken) < good else data[:300])
    return split_of(*paths, name="train")


def test_unreadable_pictures_are_skipped_and_listed(network, tmp_path, caplog):
    split = with_broken(tmp_path, 9, 1)
    table = table_of(network, split, max_unreadable=0.1)
    assert len(table.pictures) == len(table.targets) == table.views_VND.shape[1] == 9
    ((path, reason),) = table.unreadable
    assert path == str(tmp_path / "09.jpg")
    assert "cannot be opened" in reason
    assert "train: 1 of 10 pictures are unreadable" in caplog.text


@pytest.mark.parametrize(("good", "broken", "allowed"), [(9, 1, 0.09), (0, 2, 1.0)])
def test_too_many_unreadable_pictures_fail_the_job(network, tmp_path, good, broken, allowed):
    split = with_broken(tmp_path, good, broken)
    with pytest.raises(DataError, match=rf"{broken} of {good + broken} pictures are unreadable"):
        table_of(network, split, max_unreadable=allowed)


def test_a_store_keeps_what_fits_and_reads_the_rest_again(files):
    each = 32 * 32 * 3
    store = PictureStore(files, decode, budget_bytes=10 * each, num_threads=2)
    store.fill(0.0, lambda count: None)
    assert (len(store), store.num_bytes) == (40, 10 * each)
    for index in (0, 9, 10, 39):
        assert np.array_equal(store[index], decode(files.pictures[index].path.read_bytes()))


def test_a_store_leaves_unreadable_pictures_out_and_keeps_the_order(tmp_path):
    split = with_broken(tmp_path, 3, 1)
    store = PictureStore(split, decode, 10**9, 2)
    store.fill(0.5, lambda count: None)
    assert store.pictures == list(split.pictures[:3])
    assert [path for path, _ in store.unreadable] == [str(tmp_path / "03.jpg")]


FEATURES = torch.randn(2, 30, 6, generator=torch.Generator().manual_seed(0)) * 3 + 5


def test_standardised_features_have_no_mean_and_one_deviation():
    flat = Standardizer.of(FEATURES)(FEATURES).flatten(0, 1).numpy()
    assert np.allclose(flat.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(flat.std(axis=0), FEATURE_DEVIATION, atol=1e-5)


def test_a_feature_that_never_changes_is_not_blown_up():
    features = FEATURES.clone()
    features[..., 2] = 7.0
    standardize = Standardizer.of(features)
    assert torch.isfinite(standardize(features)).all()
    assert not standardize(features)[..., 2].any()
    # A picture in which it does change must not drown everything else.
    assert float(standardize(features + 1)[..., 2].abs().max()) < 100
    assert torch.isfinite(Standardizer.of(torch.zeros(1, 3, 2))(torch.ones(2))).all()


def test_the_folded_head_answers_on_raw_features_as_before():
    torch.manual_seed(0)
    weight, bias = torch.randn(4, 6), torch.randn(4)
    standardize = Standardizer.of(FEATURES)
    raw_weight, raw_bias = standardize.into_head(weight, bias)
    expected = standardize(FEATURES) @ weight.T + bias
    assert torch.allclose(FEATURES @ raw_weight.T + raw_bias, expected, atol=1e-4)


def test_folding_a_head_and_unfolding_it_are_inverses():
    torch.manual_seed(0)
    weight, bias = torch.randn(4, 6), torch.randn(4)
    standardize = Standardizer.of(FEATURES)
    back = standardize.into_head(*standardize.from_head(weight, bias))
    assert torch.allclose(back[0], weight, rtol=1e-5)
    assert torch.allclose(back[1], bias, atol=1e-4)


def test_the_finished_network_answers_as_the_head_was_judged(pictures, tmp_path):
    run = tiny_run(pictures, tmp_path)
    network = run.fit()
    kept = run.state.rows[run.state.best_epoch - 1].metrics
    judged = run.learner.judge(run.data.validation)
    assert judged.scores.accuracy == kept["validation:accuracy"]
    assert judged.scores.loss == pytest.approx(kept["validation:loss"], abs=1e-4)
    crops = [decode_picture(p.path.read_bytes(), run.start.preprocess) for p in judged.pictures]
    with torch.inference_mode():
        answers = network(torch.from_numpy(np.stack(crops))).softmax(dim=1)
    assert torch.allclose(answers, judged.scores.probabilities, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 4999, 9990, 10_000])
def test_views_close_up_in_place_where_pictures_were_unreadable(count):
    table = torch.arange(3 * 10_000 * 2.0).reshape(3, 10_000, 2)
    expected, memory = table[:, :count].clone(), table.data_ptr()
    closed = close_up(table, count)
    assert torch.equal(closed, expected)
    assert closed.is_contiguous()
    assert closed.data_ptr() == (memory if count else 0)


def test_the_features_of_several_views_are_in_memory_once(network, tmp_path):
    """Learning takes the table that the trunk has filled."""
    split = with_broken(tmp_path, 9, 1)
    source = Source(trunk=TorchTrunk(network, CPU), width=1512, decode=decode,
                    views=views_for(views="2"))  # fmt: skip
    rows = compute_rows(source, split.pictures, CPU).rows_NVD
    assert rows.shape == (9, 2, 1512)
    assert rows.transpose(0, 1).is_contiguous()
    table = table_of(network, split, views=views_for(views="2"), max_unreadable=0.1)
    assert torch.equal(table.views_VND, rows.transpose(0, 1))
