"""The promise of the project: the server computes what training computed, for any picture."""

import io
from pathlib import Path

import numpy as np
import pytest
from kinds import KINDS, kind
from serving import client_for, server
from training import CPU, Tiny, split_of, tiny_run

from classifier.export import export_bundle
from contract.manifest import Manifest, Probe
from train.data import Split
from train.quantizing import variants_of

TOLERANCE = 1e-5
NPY = "application/x-npy"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Every kind of picture as a file that training reads."""
    folder = tmp_path_factory.mktemp("kinds")
    for name in KINDS:
        (folder / name).write_bytes(kind(name))
    return split_of(*(folder / name for name in KINDS))


# The ways of training: features once, of the trunk in float32 or in int8, and pictures through the
# whole network.
@pytest.fixture(scope="module", params=["none", "int8", "all"])
def trained(request, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, Path]:
    """A network that really learned, still in training's hands, and its bundle."""
    out = tmp_path_factory.mktemp("skew")
    how = {
        "none": {"unfreeze": "none", "lr": "0.01"},
        "int8": {"unfreeze": "none", "lr": "0.01", "quantize": "int8"},
        "all": {"unfreeze": "all", "lr": "0.002"},
    }[request.param]
    run = tiny_run(pictures, out, epochs="8", **how)
    network = run.fit()
    judged = run.learner.judge(run.data.validation)
    variants = variants_of(run.start, run.data, run.learner, judged, device=CPU, is_hurried=False)
    manifest = Manifest(
        arch=run.start.values.arch,
        labels=run.data.labels.names,
        preprocess=run.start.preprocess,
        probe=Probe(probabilities=(0.0,) * len(run.data.labels)),
        files={},
        trained="int8" if run.learner.int8 else "f32",
    )
    export_bundle(network, out / "model", manifest, variants=variants)
    return run, out / "model"


def differences(answers: list[bytes], run: Tiny, files: Split) -> dict[str, float]:
    """Largest difference from training's evaluation, by kind of picture."""
    judged = run.learner.judge(files)
    assert judged.pictures == files.pictures
    rows = [np.load(io.BytesIO(answer))[0] for answer in answers]
    far = np.abs(np.stack(rows) - judged.scores.probabilities.numpy()).max(axis=1)
    return dict(zip(KINDS, far.tolist(), strict=True))


def test_the_server_computes_what_training_computed_for_every_kind_of_picture(trained, files):
    run, bundle = trained
    client = client_for(bundle)
    answers = []
    for name in KINDS:
        reply = client.post(
            "/invocations", data=kind(name), content_type="image/*", headers={"Accept": NPY}
        )
        assert reply.status_code == 200, f"{name}: {reply.text}"
        answers.append(reply.data)
    far = differences(answers, run, files)
    assert {name: value for name, value in far.items() if not value < TOLERANCE} == {}


def test_a_real_server_process_does_so_too(trained, files):
    run, bundle = trained
    headers = {"Accept": NPY, "Content-Type": "application/octet-stream"}
    with server(bundle) as running:
        replies = [
            running.get("/invocations", data=kind(name), headers=headers, method="POST")
            for name in KINDS
        ]
    assert {status for status, _, _ in replies} == {200}
    far = differences([body for _, _, body in replies], run, files)
    assert {name: value for name, value in far.items() if not value < TOLERANCE} == {}


def test_the_answers_are_worth_comparing(trained, files):
    """The network tells pictures apart; a constant answer would agree with anything."""
    run, _ = trained
    rows = run.learner.judge(files).scores.probabilities
    assert float(rows.std(dim=0).max()) > 0.01
    assert float(rows[:5].std(dim=0).max()) > 0.001
