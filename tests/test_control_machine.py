"""What `kennel doctor` reads from the machine."""

import os
import platform

from control.machine import facts


def test_doctor_names_the_python_and_every_package_without_importing_it():
    found = facts()
    assert found["python"].startswith(platform.python_version())
    assert found["numpy"] != "missing"
    assert {"torch", "openvino", "processors", "memory", "gpu", "docker"} <= found.keys()


def test_doctor_counts_the_processors_that_this_process_may_use():
    assert int(facts()["processors"].split()[0]) <= (os.cpu_count() or 1)
