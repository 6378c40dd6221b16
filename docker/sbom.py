"""Print what is installed in the image that runs this: a CycloneDX 1.5 document on stdout.

`make sbom` feeds it to the Python of each image. It reads the packages' own records, so it lists
what is really there: Python distributions, and the packages of the Debian or Ubuntu below.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata

DPKG_FORMAT = "${Package}\t${Version}\t${Architecture}\n"
DPKG_SECONDS = 60


def python_components() -> list[dict]:
    """One component for each installed distribution; the licence as its author wrote it."""
    found = []
    for item in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", item.metadata["Name"]).lower()
        licence = item.metadata.get("License-Expression") or item.metadata.get("License") or ""
        found.append(
            component(name, item.version, f"pkg:pypi/{name}@{item.version}", licence.split("\n")[0])
        )
    return found


def system_components() -> list[dict]:
    """What dpkg installed; nothing where there is no dpkg."""
    dpkg = shutil.which("dpkg-query")
    if dpkg is None:
        return []
    command = [dpkg, "--show", f"--showformat={DPKG_FORMAT}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DPKG_SECONDS, check=True)
    system = distribution()
    found = []
    for line in done.stdout.splitlines():
        name, version, architecture = line.split("\t")
        found.append(
            component(name, version, f"pkg:deb/{system}/{name}@{version}?arch={architecture}")
        )
    return found


def component(name: str, version: str, purl: str, licence: str = "") -> dict:
    """One entry of the list."""
    licences = {"licenses": [{"license": {"name": licence}}]} if licence.strip() else {}
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        **licences,
    }


def distribution() -> str:
    """`debian` or `ubuntu`, from /etc/os-release."""
    with open("/etc/os-release", encoding="utf-8") as file:
        return dict(line.strip().split("=", 1) for line in file if "=" in line).get("ID", "debian")


def main() -> None:
    """The document: sorted, without a time, so that equal images give equal documents."""
    components = {item["bom-ref"]: item for item in python_components() + system_components()}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": os.environ.get("TITLE", "image")}},
        "components": [components[key] for key in sorted(components)],
    }
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
