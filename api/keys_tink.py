"""Master keys outside the key file, through Tink: a keyset file, or a key management service that keeps the key to itself.

    tink-keyset:PATH        a cleartext Tink keyset of AEAD keys in JSON, mode 0600
    aws-kms://arn:aws:kms:...            needs boto3 (tink[awskms]) and AWS credentials as boto3 finds them
    gcp-kms://projects/.../cryptoKeys/.. needs tink[gcpkms] and Google's application default credentials
    any other URI           one whose client this process registered with Tink

Clients of the two clouds are imported when they are named. Only this file knows Tink.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.keys import KeysInvalid, KeyWrapper, MasterUnavailable, Unsealable

_KEYSET = "tink-keyset:"


@dataclass(frozen=True, slots=True)
class TinkWrapper:
    """A master key that is a Tink AEAD."""

    key_id: str
    _aead: Any = field(repr=False)
    _keyset: frozenset[str] | None = field(default=None, repr=False)
    """Ids of all keys of a keyset that is here; ``None``: the key is far away."""

    def opens(self, key_id: str) -> bool:
        return key_id == self.key_id or key_id in (self._keyset or ())

    def wrap(self, data_key: bytes, *, about: str) -> bytes:
        try:
            wrapped: bytes = self._aead.encrypt(data_key, about.encode())
        except Exception as error:  # each cloud's client raises its own
            raise MasterUnavailable("the key management service does not wrap") from error
        return wrapped

    def unwrap(self, wrapped: bytes, *, about: str) -> bytes:
        from tink import TinkError

        try:
            data_key: bytes = self._aead.decrypt(wrapped, about.encode())
        except TinkError as error:
            # of a key that is here: the bytes are wrong. Of one far away Tink does not say which; neither opens anything
            if self._keyset is not None:
                raise Unsealable("sealed bytes do not open under the keyset") from error
            raise MasterUnavailable("the key management service does not unwrap") from error
        except Exception as error:
            raise MasterUnavailable("the key management service does not answer") from error
        return data_key


def open_wrapper(uri: str) -> KeyWrapper:
    """The master key that ``uri`` names.

    Raises:
        KeysInvalid: when Tink is missing or the key cannot be opened; never says more than the kind of address.
    """
    scheme = uri.partition(":")[0]
    try:
        from tink import aead

        aead.register()
    except ImportError as error:
        raise KeysInvalid(f"a master key of kind {scheme}: needs Tink (pip install 'mien[kms]')") from error
    if uri.startswith(_KEYSET):
        return _of_keyset(Path(uri.removeprefix(_KEYSET)))
    try:
        primitive = _client(uri).get_aead(uri)
    except Exception as error:  # Tink's, the cloud library's, or its absence
        raise KeysInvalid(f"the master key of kind {scheme}: cannot be opened ({type(error).__name__})") from error
    return TinkWrapper(f"{scheme}_{hashlib.sha256(uri.encode()).hexdigest()[:16]}", primitive)


def _client(uri: str) -> Any:
    if uri.startswith("aws-kms://"):
        from tink.integration import awskms

        return awskms.AwsKmsClient(uri, "")
    if uri.startswith("gcp-kms://"):
        from tink.integration import gcpkms

        return gcpkms.GcpKmsClient(uri, "")
    import tink

    return tink.kms_client_from_uri(uri)


def _of_keyset(path: Path) -> KeyWrapper:
    from tink import TinkError, aead, json_proto_keyset_format, secret_key_access

    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysInvalid("the Tink keyset cannot be read") from error
    if os.name == "posix" and mode & 0o077:
        raise KeysInvalid(f"the Tink keyset has mode {mode:04o}; it must be readable by its owner only (chmod 600)")
    try:
        primitive = json_proto_keyset_format.parse(text, secret_key_access.TOKEN).primitive(aead.Aead)
        content = json.loads(text)
        primary, ids = content["primaryKeyId"], frozenset(_id(key["keyId"]) for key in content["key"])
    except (TinkError, ValueError, KeyError, TypeError) as error:
        raise KeysInvalid("the Tink keyset is damaged, or holds no AEAD keys") from error
    return TinkWrapper(_id(primary), primitive, ids)


def _id(number: int) -> str:
    return f"tink_{int(number):08x}"
