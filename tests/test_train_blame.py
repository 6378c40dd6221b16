"""What costs a trial, and what lies around all of them."""

import pytest
import torch
from masters import result_of
from studies import spec_of, study_flags
from torchvision.models import squeezenet1_1
from training import run_job

from train.blame import lies_around

ARCHS = {"arch": ["squeezenet1_0", "squeezenet1_1"]}


@pytest.mark.parametrize(
    ("kind", "ranges", "channels", "expected"),
    [
        ("HostError", ARCHS, ("train", "pretrained"), True),
        ("WeightsError", {"lr": [0.1]}, ("train", "pretrained"), True),
        ("WeightsError", ARCHS, ("train", "pretrained"), False),
        ("WeightsError", ARCHS, ("train", "model"), False),
        ("WeightsError", ARCHS, ("train",), True),  # they could not be fetched
        ("DataError", ARCHS, ("train",), True),
        ("DataError", {"max-unreadable": [0.0, 0.1]}, ("train",), False),
        ("ChannelError", {"max-unreadable": [0.0, 0.1]}, ("train",), True),
        ("HyperparameterError", {"lr": [0.1]}, ("train",), False),
    ],
)
def test_until_a_trial_was_completed_what_is_not_searched_lies_around(
    kind, ranges, channels, expected
):
    spec = spec_of(ranges=ranges)
    assert lies_around(kind, spec, channels, is_proven=False) == expected
    assert lies_around(kind, spec, channels, is_proven=True) == (kind == "HostError")


def test_a_first_trial_whose_arch_does_not_fit_the_weights_costs_itself_only(pictures, tmp_path):
    torch.save(squeezenet1_1().state_dict(), tmp_path / "weights.pth")
    spec = {"strategy": "Grid", "max_jobs": None, "ranges": ARCHS}
    weights = str(tmp_path / "weights.pth")
    code, output = run_job(study_flags(pictures, tmp_path, spec, pretrained=weights, epochs="1"))
    assert code == 0, output
    study = result_of(tmp_path)
    assert [one.status for one in study.trials] == ["Failed", "Completed"]
    assert "does not fit this arch" in study.trials[0].reason
    assert (study.status, study.bundle) == ("Completed", "model")
