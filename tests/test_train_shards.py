"""A channel of shards makes exactly the job that the folder makes."""

import json
import shutil

import numpy as np
import pytest
from hosts import lay_out_hosts, run_hosts
from packs import packed, shards
from safetensors.numpy import load_file
from training import CLASSES, flags, job_for, run_job

from contract.errors import DataError, KennelError
from contract.job import Channel, Cluster, TrainingJob
from contract.shards import read_footer
from train.channels import find_pictures, read_data
from train.found import Found, pool


@pytest.fixture(scope="module")
def pack(pictures, tmp_path_factory):
    """The data set in shards: train in several, the others in one each. Do not write."""
    out = tmp_path_factory.mktemp("pack") / "out"
    packed(pictures, out, "16KB")
    assert len(shards(out / "train")) > 3
    return out


@pytest.fixture
def copy(pack, tmp_path):
    """A copy of the shards that a test may damage."""
    return shutil.copytree(pack, tmp_path / "copy")


def weights(folder):
    return load_file(next((folder / "model").glob("*.safetensors")))


def seen(data):
    """What a job is made of: every split's names, classes and bytes, in order."""
    return [
        [
            (picture.path.name, picture.class_index, picture.read_bytes())
            for picture in split.pictures
        ]
        for split in (data.train, data.validation, data.test)
    ]


@pytest.mark.parametrize("unfreeze", ["none", "all"])
def test_shards_and_folders_make_the_same_bits(pictures, pack, tmp_path, unfreeze):
    bits = []
    for source, out in ((pictures, tmp_path / "a"), (pack, tmp_path / "b")):
        code, text = run_job(flags(source, out, unfreeze=unfreeze, epochs="2", augment="crop"))
        assert code == 0, text
        bits.append(weights(out))
    assert bits[0].keys() == bits[1].keys()
    assert all(np.array_equal(bits[0][name], bits[1][name]) for name in bits[0])
    assert "train: " in text
    assert "read in place" in text


def test_one_folder_may_hold_all_splits(pictures, pack, tmp_path):
    one, other = (job_for(source, tmp_path, ("train",)) for source in (pictures, pack))
    expected = read_data(job_for(pictures, tmp_path), tmp_path)
    for job, source in ((one, pictures), (other, pack)):
        whole = {"train": Channel(name="train", path=source)}
        found = read_data(with_channels(job, whole), tmp_path)
        assert seen(found) == seen(expected)


def with_channels(job, channels, **changes):
    return TrainingJob(
        name=job.name,
        hyperparameters=job.hyperparameters,
        channels=channels,
        outputs=job.outputs,
        **changes,
    )


def test_the_same_pictures_are_held_out(pictures, pack, tmp_path):
    held = [
        read_data(job_for(source, tmp_path, ("train",)), tmp_path) for source in (pictures, pack)
    ]
    assert seen_names(held[0]) == seen_names(held[1])


def seen_names(data):
    return [picture.path.name for picture in data.validation.pictures]


def test_a_manifest_names_pictures_in_shards(pictures, tmp_path):
    pets = tmp_path / "pets"
    pets.mkdir()
    with (tmp_path / "pets" / "pets.manifest").open("w") as lines:
        for name in CLASSES:
            for path in sorted((pictures / "train" / name).iterdir()):
                shutil.copy(path, pets)
                lines.write(json.dumps({"source-ref": f"s3://b/{path.name}", "class": name}) + "\n")
    packed(pets, tmp_path / "out", "16KB")
    jobs = [
        with_channels(
            job_for(pictures, tmp_path), {"train": Channel(name="train", path=tmp_path / name)}
        )
        for name in ("pets", "out")
    ]
    one, other = (read_data(job, tmp_path) for job in jobs)
    assert one.labels == other.labels
    assert seen_names(one) == seen_names(other)
    assert other.train.pictures[0].part is not None


def test_each_host_reads_its_shards(pictures, pack, tmp_path):
    founds = []
    for host in range(2):
        folder = tmp_path / f"host{host}"
        folder.mkdir()
        for number, path in enumerate(shards(pack / "train")):
            if number % 2 == host:
                shutil.copy(path, folder)
        channel = Channel(name="train", path=folder, distribution="ShardedByS3Key")
        cluster = Cluster(current_host=f"algo-{host + 1}", hosts=("algo-1", "algo-2"))
        job = with_channels(job_for(pictures, tmp_path), {"train": channel}, cluster=cluster)
        sent = json.dumps(find_pictures(job, tmp_path / f"work{host}").to_json())
        founds.append(Found.of_json(json.loads(sent)))
    pooled = pool(founds, ours=1)["train"]
    assert sum(pooled.counts) == len(pooled.entries) == 36
    assert {host for _, _, host in pooled.entries} == {0, 1}
    assert all(path.startswith(str(tmp_path / "host1")) for path in pooled.shards)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def lose(path):
    path.unlink()


def rename(path):
    path.rename(path.with_name(path.name.replace("00001-of", "00077-of")))


def flip_index(path):
    data = bytearray(path.read_bytes())
    data[read_footer(path).index_offset + 20] ^= 1
    path.write_bytes(data)


def flip_picture(path):
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)


def put_beside(path):
    (path.parent / "bars").mkdir()
    (path.parent / "bars" / "001.jpg").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (cut, "is cut or damaged"),
        (empty, "is cut or damaged"),
        (lose, "shards are missing, the first is shard-00001-of"),
        (rename, "give it that name again"),
        (flip_index, "is cut or damaged: its index"),
        (flip_picture, "is damaged at byte"),
        (put_beside, "is there twice"),
    ],
)
def test_a_damaged_shard_ends_the_job_in_one_line(pictures, copy, tmp_path, damage, line):
    damage(shards(copy / "train")[1])
    with pytest.raises(KennelError, match=line) as error:
        seen(read_data(job_for(copy, tmp_path), tmp_path))
    assert len(str(error.value).splitlines()) == 1


def test_shards_of_two_packs_are_not_mixed(pictures, copy, tmp_path):
    shutil.copytree(pictures / "train", tmp_path / "more")
    (tmp_path / "more" / "bars" / "zz.png").write_bytes(
        next((pictures / "train" / "bars").glob("*.png")).read_bytes()
    )
    packed(tmp_path / "more", tmp_path / "other", "16KB")
    shutil.copy(shards(tmp_path / "other")[1], copy / "train")
    with pytest.raises(DataError, match=r"not packed together|is there twice"):
        read_data(job_for(copy, tmp_path), tmp_path)


def test_hosts_that_have_a_part_of_the_shards_follow_the_curve_of_one(pictures, pack, tmp_path):
    hosts = []
    for host in range(2):
        for path in shards(pack / "train")[host::2]:
            target = tmp_path / f"data{host}" / path.name
            target.parent.mkdir(exist_ok=True)
            target.hardlink_to(path)
        others = {name: pack / name for name in ("validation", "test")}
        hosts.append({"train": tmp_path / f"data{host}", **others})
    bases = lay_out_hosts(tmp_path / "jobs", hosts)
    for base in bases:
        path = base / "input" / "config" / "inputdataconfig.json"
        config = json.loads(path.read_text())
        config["train"]["S3DistributionType"] = "ShardedByS3Key"
        path.write_text(json.dumps(config))
    done = run_hosts(bases)
    assert [code for code, _ in done] == [0, 0], done
    assert "train: each host reads its own pictures" in done[0][1]
    code, text = run_job(flags(pictures, tmp_path / "alone"))
    assert code == 0, text
    ours, theirs = (losses(folder) for folder in (bases[0], tmp_path / "alone"))
    assert ours == pytest.approx(theirs, abs=1e-3)


def losses(folder):
    metrics = json.loads((folder / "model" / "bundle.json").read_text())["metrics"]
    return metrics["validation:loss"], metrics["test:loss"]
