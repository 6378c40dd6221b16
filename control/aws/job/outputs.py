"""Outputs: what a job left in S3, fetched into the run's folder as a local run would leave it."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from contract.errors import BundleError
from contract.files import cannot_write, remove_leftovers, staging
from contract.model_archive import unpack_model
from contract.opt_ml import OptMl
from contract.rule_result import REPORT_NAME, RULE_OUTPUT, RULES_NAME
from control.download import THREADS, Download
from control.s3 import S3, S3Object, S3Uri
from control.staging_list import check_names, is_marker

MODEL, DATA = "model.tar.gz", "output.tar.gz"  # SageMaker's names


def outputs_of(output: str, job: str) -> S3Uri:
    """Where a job's two archives lie. Source: SageMaker API reference, OutputDataConfig."""
    return S3Uri.parse(output).join(job).join("output")


def fetch_outputs(where: S3Uri, folder: Path) -> tuple[str, ...]:
    """Unpack the archives below `where` in place of what `folder` has; returns their names.

    Raises AwsError, HostError; and BundleError for an archive that is damaged or would write
    elsewhere: nothing of it is unpacked then.
    """
    paths = OptMl(folder)
    targets = {MODEL: paths.model_dir, DATA: paths.output_data_dir}
    remove_leftovers(folder)  # of a session that was killed here
    s3 = S3(connections=THREADS)
    files = {name: item for name, item in _below(s3, where).items() if name in targets}
    if not files:
        return ()
    with staging(folder) as staged:
        got = _download(s3, where, files, staged)
        for name in files:
            _unpack(got / name, staged / f"{name}.unpacked", where.join(name))
        for name in files:
            _put(staged / f"{name}.unpacked", targets[name])
    return tuple(files)


def fetch_findings(job: S3Uri, folder: Path) -> None:
    """What the rules of the job below `job` found, as `folder`/rule-output, as after a local run.

    In AWS every rule has a container of its own, and with it a list of rules of its own.

    Raises AwsError, HostError, and ChannelError for a key that leads elsewhere.
    """
    where = job.join(RULE_OUTPUT)
    s3 = S3(connections=THREADS)
    found = _below(s3, where)
    files = {_local_name(name, found): item for name, item in found.items()}
    files = {name: item for name, item in files.items() if not name.endswith(f"/{RULES_NAME}")}
    check_names(where, files)
    if files:
        with staging(folder) as staged:
            _put(_download(s3, where, files, staged), folder / RULE_OUTPUT)


def _below(s3: S3, where: S3Uri) -> dict[str, S3Object]:
    """Relative name -> object. Markers of folders are passed over."""
    skip = len(where.folder().key)
    items = s3.objects(where.folder())
    return {item.key[skip:]: item for item in items if not is_marker(item.key, skip)}


def _local_name(name: str, names: Collection[str]) -> str:
    """`CONFIGURATION/RULE/report.json` -> `CONFIGURATION/report.json`."""
    configuration, _, rest = name.partition("/")
    rule, _, inside = rest.partition("/")
    if inside and f"{configuration}/{rule}/{REPORT_NAME}" in names:
        return f"{configuration}/{inside}"
    return name


def _download(s3: S3, where: S3Uri, files: dict[str, S3Object], staged: Path) -> Path:
    """Into a folder below `staged`, which is returned."""
    got = staged / "got"
    download = Download(s3, where.bucket, got, staged / "partial")
    download.run(files, lambda _name: None, lambda _count: None)
    return got


def _unpack(archive: Path, folder: Path, uri: S3Uri) -> None:
    try:
        unpack_model(archive, folder)
    except BundleError as error:
        reason = str(error).partition(": ")[2] or str(error)
        raise BundleError(f"{uri} cannot be unpacked, and nothing of it was: {reason}") from None


def _put(made: Path, target: Path) -> None:
    """In place of what is there: of an earlier session, or laid out empty."""
    try:
        if target.exists():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, target)
    except OSError as error:
        raise cannot_write(target, error) from error
