"""The table of prices: types that AWS really offers for a use, and figures that hang together."""

import csv

import botocore.session
import pytest

from control.aws.money import instances
from control.aws.prices import TABLE, known_types, price_per_hour
from control.aws.rates import lambda_provisioned_per_hour, serverless_per_hour

SHAPES = {
    "training": ("sagemaker", "TrainingInstanceType"),
    "hosting": ("sagemaker", "ProductionVariantInstanceType"),
    "transform": ("sagemaker", "TransformInstanceType"),
    "ec2": ("ec2", "InstanceType"),
}
SIZES = {"large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8, "8xlarge": 16, "9xlarge": 18}
SIZES |= {"12xlarge": 24, "16xlarge": 32, "18xlarge": 36, "24xlarge": 48, "32xlarge": 64}
LINEAR = (
    "m5",
    "m6i",
    "m7i",
    "c5",
    "c6i",
    "c7i",
    "r5",
    "r6i",
)  # AWS asks as much for each processor


def rows():
    with TABLE.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("use", SHAPES)
def test_every_type_is_one_that_aws_offers_for_this_use(use):
    service, shape = SHAPES[use]
    model = botocore.session.get_session().get_service_model(service)
    offered = set(model.shape_for(shape).enum)
    assert {row["instance_type"] for row in rows() if row["use"] == use} <= offered
    assert len(known_types(use)) >= 30


def test_no_type_is_listed_twice_for_a_use():
    keys = [(row["instance_type"], row["use"]) for row in rows()]
    assert len(set(keys)) == len(keys)


def test_sagemaker_asks_more_than_ec2_for_the_same_machine_and_not_much_more():
    compared = 0
    for row in rows():
        plain = price_per_hour(row["instance_type"].removeprefix("ml."), "ec2")
        if row["use"] != "ec2" and plain:
            assert 1.14 <= float(row["usd_per_hour"]) / plain <= 1.41, row
            compared += 1
    assert compared > 100


def test_a_processor_costs_the_same_in_every_size_of_a_family():
    for row in rows():
        family, size = row["instance_type"].removeprefix("ml.").split(".")
        if family not in LINEAR:
            continue
        each = float(row["usd_per_hour"]) / SIZES[size]
        large = price_per_hour(row["instance_type"].replace(size, "xlarge"), row["use"])
        if large:
            assert each == pytest.approx(large / 2, rel=0.01), row


@pytest.mark.parametrize("family", ["m5", "m6i", "c6i", "r6i", "g4dn", "g5", "g6", "g6e"])
def test_an_endpoint_costs_what_training_and_a_batch_on_the_same_type_cost(family):
    found = {
        use: {
            row["instance_type"]: row["usd_per_hour"]
            for row in rows()
            if row["use"] == use and row["instance_type"].startswith(f"ml.{family}.")
        }
        for use in ("training", "hosting", "transform")
    }
    assert found["hosting"].items() >= found["training"].items()
    assert found["hosting"].items() >= found["transform"].items()


def test_other_chips_have_a_price_and_are_never_suggested():
    assert price_per_hour("ml.inf2.xlarge", "hosting") == 0.99
    assert not [one for one in known_types("hosting") if "inf" in one]


def test_an_unknown_type_has_no_price_rather_than_a_guess():
    assert price_per_hour("ml.x99.large", "training") is None
    cost = instances(1, "ml.x99.large", "training", "job dogs", 2.0)
    assert cost.worst is None
    assert "unknown price" in cost.line()


def test_rates_come_to_what_awss_own_examples_come_to():
    # Lambda's pricing page: 1,000 instances of 1 GB for two hours are $30.00.
    assert lambda_provisioned_per_hour(1024, 1000) * 2 == pytest.approx(30.0, abs=0.01)
    assert serverless_per_hour(3072) == pytest.approx(0.00006 * 3600)
