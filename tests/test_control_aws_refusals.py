"""What keeps a command from asking AWS at all is one line with what to do."""

import http.server
import threading

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)

from control.aws_client import AwsError, aws_errors

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
