"""The function in Lambda fetches pictures from listed hosts and buckets, and from nowhere else."""

import datetime
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aws_front import Aws
from lambdas import base64_of, function
from serving import Server, colour_bundle, picture, server

from control.lambda_function import is_public

PNG = picture("green")
PUBLIC, OTHER = "93.184.216.34", "93.184.216.35"  # never asked: the test's world leads them here


class Pictures(BaseHTTPRequestHandler):
    """A web server with good and bad habits."""

    def do_GET(self):
        self.server.asked.append((self.headers["Host"], self.path))
        if self.path in ("/green.png?size=1&x=%20", "/gr%C3%BCn.png"):
            self.answer(200, PNG)
        elif self.path == "/to-other":
            self.answer(302, b"", {"Location": "https://other.example/green.png"})
        elif self.path == "/to-inside":
            self.answer(307, b"", {"Location": "http://169.254.169.254/latest/meta-data/"})
        elif self.path == "/big":
            self.answer(200, PNG + bytes(7_000_000))
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while not self.server.let_go.is_set():
                self.wfile.write(bytes(65536))
        elif self.path == "/trickle":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            while not self.server.let_go.wait(0.2):
                self.wfile.write(b"X: y\r\n")
        else:
            self.answer(404, b"")

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """The function hangs up on some; that is what is tested."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of pictures.example, signed by itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pictures.example")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("pictures.example"), x509.DNSName("cdn.pictures.example")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "pictures.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(pem))
    return path


@contextmanager
def pictures(certificate: Path) -> Iterator[Quiet]:
    web = Quiet(("127.0.0.1", 0), Pictures)
    web.daemon_threads = True
    web.asked, web.let_go = [], threading.Event()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    web.socket = tls.wrap_socket(web.socket, server_side=True)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        web.let_go.set()
        web.shutdown()
        thread.join(30)
        web.server_close()


@pytest.fixture(scope="module")
def real_server() -> Iterator[Server]:
    with server(colour_bundle()) as running:
        yield running


@contextmanager
def dogs_in(aws: Aws, folder: Path, web: Quiet, certificate: Path, **variables: str):
    """A function whose pictures.example is `web`, by a public address."""
    names = {
        "pictures.example": [PUBLIC],
        "cdn.pictures.example": [PUBLIC],
        "other.example": [OTHER],
        "mixed.pictures.example": [PUBLIC, "10.0.0.7"],
        "inside.pictures.example": ["169.254.169.254"],
        "loop.pictures.example": ["127.0.0.1"],
        "nothing.localhost": ["127.0.0.1"],  # as hostile name servers have it
    }
    world = {"names": names, "ports": {PUBLIC: web.server_port, OTHER: web.server_port}}
    hosts = "pictures.example *.pictures.example other.example localhost *.localhost 127.0.0.1"
    settings = {"ALLOWED_HOSTS": hosts, "SSL_CERT_FILE": str(certificate), **variables}
    with function(aws, folder, world=world, **settings) as running:
        yield running


def test_a_picture_of_a_listed_host_gets_the_same_answer_as_its_bytes(
    aws, tmp_path, certificate, real_server
):
    aws.serve_endpoints(real_server.url)
    with pictures(certificate) as web, dogs_in(aws, tmp_path, web, certificate) as dogs:
        sent = dogs({"image": base64_of(PNG)})
        for url in (
            "https://pictures.example/green.png?size=1&x=%20",
            "https://PICTURES.example:443/green.png?size=1&x= ",
            "https://cdn.pictures.example/gr\u00fcn.png#there",
        ):
            fetched = dogs({"url": url})
            assert (fetched["statusCode"], fetched["body"]) == (200, sent["body"])
        assert web.asked[2] == ("cdn.pictures.example", "/gr%C3%BCn.png")
        assert dogs.log[-1]["source"] == "url"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://pictures.example.evil.net/", 403),
        ("https://evilpictures.example/", 403),
        ("https://pictures.example@evil.net/", 400),
        ("https://evil.net\\@pictures.example/", 400),
        ("https://user:secret@pictures.example/", 400),
        ("https://pictures.example:8443/", 400),
        ("https://pictures.example:x/", 400),
        ("http://pictures.example/", 400),
        ("file:///etc/passwd", 400),
        ("//pictures.example/", 400),
        ("https://", 400),
        ("https://[", 400),
        ("https://127.0.0.1/", 403),
        ("https://localhost/", 403),
        ("https://nothing.localhost/", 403),
        ("https://0x7f000001/", 403),
        ("https://2130706433/", 403),
        ("https://[::1]/", 403),
        ("https://[::ffff:169.254.169.254]/", 403),
        ("https://169.254.169.254/latest/meta-data/", 403),
        ("https://inside.pictures.example/", 403),
        ("https://loop.pictures.example/", 403),
        ("https://mixed.pictures.example/green.png", 403),
        (f"https://{'a' * 70}.pictures.example/", 502),
        ("https://pictures.example/\ud800", 400),
        ("https://pictures.example/none.png", 404),
        ("https://pictures.example/to-other", 502),
        ("https://pictures.example/to-inside", 502),
        ("https://other.example/green.png", 502),  # the certificate is another's
    ],
)
def test_no_other_place_is_asked(aws, tmp_path, certificate, url, status):
    with pictures(certificate) as web, dogs_in(aws, tmp_path, web, certificate) as dogs:
        assert dogs.refusal({"url": url})[0] == status
        assert {host for host, _ in web.asked} <= {"pictures.example"}
        assert not aws.calls("InvokeEndpoint")


def test_size_and_time_have_limits(aws, tmp_path, certificate):
    with pictures(certificate) as web, dogs_in(aws, tmp_path, web, certificate) as dogs:
        for path in ("/big", "/endless"):
            status, message = dogs.refusal({"url": f"https://pictures.example{path}"})
            assert (status, "6,291,456" in message) == (413, True)
        started = time.monotonic()
        assert dogs.refusal({"url": "https://pictures.example/trickle"})[0] == 504
        assert 3 < time.monotonic() - started < 8


def test_a_picture_of_a_listed_bucket_gets_the_same_answer(aws, tmp_path, real_server):
    aws.serve_endpoints(real_server.url)
    s3 = aws.client("s3")
    for bucket in ("kennel-dogs", "kennel-cats"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="a b/gr\u00fcn.png", Body=PNG)
    s3.put_object(Bucket="kennel-dogs", Key="big", Body=PNG + bytes(7_000_000))
    with function(aws, tmp_path, ALLOWED_BUCKETS="kennel-dogs gone-dogs") as dogs:
        aws.forget()
        sent = dogs({"image": base64_of(PNG)})
        assert dogs({"s3": "s3://kennel-dogs/a b/gr\u00fcn.png"})["body"] == sent["body"]
        assert {one.action for one in aws.seen} == {"sagemaker:InvokeEndpoint", "s3:GetObject"}
        aws.forget()
        assert dogs.refusal({"s3": "s3://kennel-cats/a b/gr\u00fcn.png"})[0] == 403
        assert not aws.seen
        assert dogs.refusal({"s3": "s3://kennel-dogs/none"})[0] == 404
        assert dogs.refusal({"s3": "s3://gone-dogs/none"})[0] == 404
        assert dogs.refusal({"s3": "s3://kennel-dogs/big"})[0] == 413
        aws.fail("GetObject", "AccessDenied", "Access Denied", status=403)
        assert dogs.refusal({"s3": "s3://kennel-dogs/big"})[0] == 403
        aws.fail("GetObject", "SlowDown", "Please reduce", status=503)
        assert dogs.refusal({"s3": "s3://kennel-dogs/big"})[0] == 503


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        (PUBLIC, True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
        ("ff02::1", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address, expected):
    assert is_public(address) is expected
