"""The service that the clients' tests ask, on stand-in models: fixtures of tests/api."""

from tests.api.conftest import (  # noqa: F401 - fixtures
    _quiet,
    database,
    faces,
    key_file,
    server,
    service,
    shared_database,
    world,
)
