"""What keeps a command from asking AWS at all is one line with what to do."""

import http.server
import threading

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)

from control.aws.account import is_missing
from control.aws.prices import known_types
from control.aws_client import AwsError, aws_errors
from control.aws_remedies import OF_EC2, remedy_for

LIST = ("list", "--cost")


def told(aws, *words, **changes):
    """The only line on stderr; the exit code before it."""
    done = aws.kennel(*words, **changes)
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return done.returncode, line


@pytest.fixture
def page():
    """A server that answers everything with a page, as a proxy does that wants a login."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            data = b"<!doctype html><p>Log in to the network"
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.mark.parametrize("title", ["", "<title>404 Not Found</title>"])
def test_a_page_of_an_error_is_named_and_not_quoted(title):
    said = f"<!doctype html> <html lang=en> {title} <h1>Not Found</h1> <p>The URL was not found"
    with pytest.raises(AwsError) as caught, aws_errors("endpoint dogs"):
        raise ClientError({"Error": {"Code": "404", "Message": said}}, "DescribeEndpoint")
    named = " (404 Not Found)" if title else ""
    told = f"endpoint dogs: a web page{named} answers in AWS's place: see AWS_ENDPOINT_URL"
    assert str(caught.value).startswith(told)
    assert (caught.value.code, is_missing(caught.value)) == ("404", True)


def test_a_page_instead_of_aws_is_no_traceback(aws, page):
    code, line = told(aws, *LIST, AWS_ENDPOINT_URL=page)
    assert code == 1
    assert "AWS_ENDPOINT_URL" in line


def test_missing_credentials_name_what_makes_them(aws, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del aws.environment[name]
    code, line = told(aws, *LIST)
    assert code == 2
    assert "`aws configure`" in line
    assert "AWS_ACCESS_KEY_ID" in line


def test_a_missing_region_names_the_variable(aws):
    del aws.environment["AWS_DEFAULT_REGION"]
    code, line = told(aws, *LIST)
    assert code == 2
    assert "set AWS_REGION" in line


@pytest.mark.parametrize("other", ["", "us-west-2"])
def test_the_variable_that_is_named_is_the_one_that_counts(aws, other):
    aws.environment["AWS_DEFAULT_REGION"] = other
    done = aws.kennel(*LIST, AWS_REGION="eu-west-1")
    assert done.returncode == 0, done.stderr
    assert "region eu-west-1" in done.stdout


def test_a_profile_that_does_not_exist_names_the_list(aws):
    code, line = told(aws, *LIST, AWS_PROFILE="nobodys")
    assert code == 1
    assert "nobodys" in line
    assert "`aws configure list-profiles`" in line


def test_a_region_that_is_no_name_says_how_to_set_one(aws):
    code, line = told(aws, *LIST, AWS_REGION="us east")
    assert code == 1
    assert "`aws configure set region us-east-1`" in line
    assert "us-east-1" in told(aws, "iam", "show", AWS_REGION="mars")[1]


@pytest.mark.parametrize(
    ("quota", "named", "never"),
    [
        ("ml.g4dn.xlarge for endpoint usage", "ml.g4dn.2xlarge", "m5"),
        ("ml.m5.xlarge for spot training job usage", "ml.c5.xlarge", "g4dn"),
        ("ml.m5.large for transform job usage", "ml.m7i.large", "g4dn"),
    ],
)
def test_a_quota_that_is_used_up_names_types_of_its_sort(quota, named, never):
    said = (
        f"The account-level service limit '{quota}' is 0 Instances, with current utilization of "
        "0 Instances and a request delta of 1 Instances."
    )
    told = remedy_for("ResourceLimitExceeded", said)
    assert f"the quota '{quota}' is 0, 0 in use; other types have quotas of their own: " in told
    others = told.partition("their own: ")[2].partition(": `kennel doctor FILE.toml`")[0]
    assert named in others.split(", ")
    assert never not in others
    assert len(others.split(", ")) == 3


@pytest.mark.parametrize(
    ("code", "said", "begins"),
    [
        (
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your current vCPU limit of 0 allows",
            "the quota of processors is 0; ",
        ),
        (
            "MaxSpotInstanceCountExceeded",
            "Max spot instance count exceeded",
            "a quota is used up; ",
        ),
    ],
)
def test_a_quota_of_processors_names_the_sorts_that_have_one(code, said, begins):
    told = remedy_for(code, said)
    assert told.startswith(f"{begins}types that begin with g (g4dn.xlarge), those with p (p4d")
    assert "all others (m5.xlarge) have one each, on demand and as spot" in told
    assert "`kennel doctor FILE.toml` lists" in told
    assert set(OF_EC2) <= set(known_types("ec2"))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("InvalidAccessKeyId", "`aws configure list`"),  # S3's word
        ("AuthFailure", "`aws configure list`"),  # EC2's
        ("InvalidToken", "`aws sso login`"),
        ("RequestExpired", "`date -u`"),
        ("LimitExceeded", "Service Quotas"),  # IAM's
        ("ServiceQuotaExceededException", "`kennel list --cost`"),
        ("VPCIdNotSpecified", "give subnet and security_group in [ec2]"),
        ("InvalidInstanceType", "check its name"),
        ("Unsupported", "another subnet or instance_type in [ec2]"),
        ("InvalidSubnetID.NotFound", "check subnet in [ec2]"),
        ("InvalidGroup.NotFound", "check security_group in [ec2]"),
        ("InvalidAMIID.NotFound", "check ami in [ec2]"),
        ("InvalidKeyPair.NotFound", "check key_name in [ec2]"),
    ],
)
def test_every_word_of_a_service_for_the_same_trouble_has_a_remedy(code, remedy):
    error = {"Error": {"Code": code, "Message": "AWS's own sentence"}}
    with pytest.raises(AwsError) as caught, aws_errors("the instance of job dogs"):
        raise ClientError(error, "RunInstances")
    assert str(caught.value).startswith(f"the instance of job dogs: AWS says {code}: AWS's own")
    assert remedy in str(caught.value).partition("sentence; ")[2]


def test_a_missing_instance_profile_names_the_command_that_makes_it():
    said = "Value (kennel-ec2) for parameter iamInstanceProfile.name is invalid. Invalid IAM name"
    told = remedy_for("InvalidParameterValue", said)
    assert "`kennel iam create JOB.toml --only ec2` makes it" in told


@pytest.mark.parametrize(
    ("error", "remedy", "is_transient"),
    [
        (EndpointConnectionError(endpoint_url="https://sts.mars-1.x/"), "region's name", True),
        (ConnectTimeoutError(endpoint_url="https://sts.x/"), "check the network", True),
        (UnauthorizedSSOTokenError(), "`aws sso login`", False),
        (SSOTokenLoadError(error_msg="gone"), "`aws sso login`", False),
    ],
)
def test_what_this_machine_lacks_is_named_and_a_login_is_not_waited_for(
    error, remedy, is_transient
):
    with pytest.raises(AwsError) as caught, aws_errors("endpoint dogs"):
        raise error
    assert str(caught.value).startswith("endpoint dogs: ")
    assert remedy in str(caught.value)
    assert caught.value.is_transient is is_transient
