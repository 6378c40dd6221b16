"""A program: the function's child in a world whose names and hosts are the test's own.

LAMBDA_WORLD is JSON: {"names": {host: [address, ...]}, "ports": {address: port of this machine}}.
Everything else, the endpoint and S3 among it, is reached as ever.
"""

import json
import os
import runpy
import socket
import sys

CHILD = os.environ["LAMBDA_CHILD"]
WORLD = json.loads(os.environ["LAMBDA_WORLD"])
look_up, connect = socket.getaddrinfo, socket.create_connection


def getaddrinfo(host, port, *rest, **more):
    if host not in WORLD["names"]:
        return look_up(host, port, *rest, **more)
    return [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in WORLD["names"][host]
    ]


def create_connection(address, *rest, **more):
    host, port = address[:2]
    if host in WORLD["ports"]:
        host, port = "127.0.0.1", WORLD["ports"][host]
    elif any(host in addresses for addresses in WORLD["names"].values()):
        raise ConnectionRefusedError(host)
    return connect((host, port), *rest, **more)


if __name__ == "__main__":
    socket.getaddrinfo, socket.create_connection = getaddrinfo, create_connection
    sys.argv[0] = CHILD
    runpy.run_path(CHILD, run_name="__main__")
