"""An S3 server on this machine (moto), with the environment that S3 clients read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest


@contextmanager
def s3_server() -> Iterator[str]:
    """URL of an empty bucket. The clients that s3fs keeps are dropped at the end, as their server is gone."""
    s3fs = pytest.importorskip("s3fs", reason="mien[s3] is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with mock.patch.dict(os.environ, environment), warnings.catch_warnings():
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().makedirs("sealed", exist_ok=True)
        try:
            yield "s3://sealed"
        finally:
            server.stop()
            s3fs.S3FileSystem.clear_instance_cache()
