"""Another API process on stand-in models, for tests that ask it. ``python -m tests.api.asking_process URL VAR KEYS``

Reads one JSON line a request (``method``, ``path``, ``key``, ``json``) and answers one line: ``status``, ``body``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fastapi.testclient import TestClient

from api.app import create_app, open_service
from api.database import Database, new_engine
from api.engines import Bounded, FaceEngines
from api.settings import Settings
from liveness.digits import Language
from tests.api.conftest import ColourFinder
from tests.api.scripted import ColourEmbedder


def main(url: str, var: str, keys: str) -> None:
    faces = FaceEngines(
        finder=ColourFinder(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
    )
    settings = Settings(database_url=url, var=Path(var), keys=Path(keys))
    with (
        open_service(settings, faces=faces, database=Database(url, new_engine(url), url)) as service,
        TestClient(create_app(service)) as client,
    ):
        for line in sys.stdin:
            asked = json.loads(line)
            answer = client.request(
                asked["method"], asked["path"], headers={"Authorization": f"Bearer {asked['key']}"}, json=asked["json"]
            )
            sys.stdout.write(json.dumps({"status": answer.status_code, "body": answer.json()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
