"""Marks a clip, so that anyone can see and any program can check that it was generated, and under which consent.

Nothing else writes a clip. Five marks, in this order:

1. the visible label (:mod:`likeness.label`), burnt into every picture;
2. a watermark that nobody sees (:mod:`likeness.watermark`), where the service gives it a number;
3. the metadata key ``AIGC`` of GB 45438-2025 (:mod:`likeness.aigc`), in the container;
4. a C2PA manifest signed by the service: what made the clip and from what, that training on it is not allowed, the
   watermark as its soft binding, and ``org.mien.consent``, which ties it to a permit without naming anyone;
5. the proof: the finished file is read back and must be ``Trusted`` under the service's own anchor, or it is destroyed.

Decided here: nothing in a manifest is the same in two clips of one person. Consents and the pictures a clip was made from
are named by digests salted with the permit's id: whoever holds the permit can show what they are, a stranger who
collects clips cannot tell which belong together. So the index of a status list stays out, too; ``status`` is an address
for this clip alone that says what has become of its consent.

Decided here: the consent of a person in a picture is not a C2PA ingredient's own history. Portraits are ``inputTo``
ingredients by digest only, without a thumbnail. A clip that was made in another one (a face placed into footage) is
``c2pa.opened`` and ``c2pa.edited``, with the original as ``parentOf``, and its own manifest if it has one. A film in a
container that C2PA does not know (webm) cannot be opened in that sense: the clip is then ``c2pa.created`` as a composite,
from the film by digest.

Decided here: ``digitalSourceType`` is ``trainedAlgorithmicMedia`` for every generator, also for the local one that moves a
portrait with trained models. ``compositeSynthetic`` would be defensible for it, but nobody was filmed saying or doing what
the clip shows; the stronger word is the honest one, and the one that platforms act upon.

Decided here: the leaf certificate lives for ten years. There is no time-stamping authority that could be asked offline,
and without a time stamp a manifest is only as good as its certificate is at the moment of reading.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from likeness.aigc import AigcLabel
from likeness.encode import encode
from likeness.errors import PermitMismatch, ProvenanceError, RenderError
from likeness.label import CORNER_HEIGHT, LABEL_TEXT, OPENING_S, labelled
from likeness.watermark import ALGORITHM, NUMBER_BITS, Watermark, watermarked
from liveness.capture import RgbImage

if TYPE_CHECKING:
    from c2pa import Context
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

    from consent.gate import Permit
    from likeness.generate import Clip

CONSENT_LABEL = "org.mien.consent"
"""Our own assertion. Its fields are those of :class:`ConsentAssertion`."""

_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = _SOURCE_TYPES + "trainedAlgorithmicMedia"
"""Of a clip that was generated."""
EDITED_SOURCE_TYPE = _SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
"""Of one that was filmed or generated before, and had something generated put into it."""
PRODUCER = "Mien"

LEAF_LIFE = timedelta(days=3650)
AUTHORITY_LIFE = timedelta(days=7300)
_CLOCKS_DIFFER = timedelta(minutes=5)

_SOFT_BINDING = "c2pa.soft-binding"
_STANDARD_LABELS = frozenset({"c2pa.actions.v2", "cawg.training-mining", _SOFT_BINDING})
_CREATED_LABELS = [
    "c2pa.actions",
    "cawg.training-mining",
    _SOFT_BINDING,
    CONSENT_LABEL,
]  # the library names them without version
_OWN_LABEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*(\.[a-zA-Z0-9][a-zA-Z0-9_-]*){2,}")
_RESERVED = ("c2pa.", "cawg.", "stds.")


# --------------------------------------------------------------------------------------------------------------------
# The service's authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Certificates and keys that the service signs manifests with, all PEM.

    ca_cert_pem : what verifiers take as anchor. Public.
    leaf_chain_pem : the certificate that signs. Public, it is in every clip.
    ca_key_pem : issues the next leaf; may be kept elsewhere (``None``) until then.
    """

    ca_cert_pem: str
    leaf_chain_pem: str
    leaf_key_pem: str = field(repr=False)
    ca_key_pem: str | None = field(repr=False, default=None)

    def without_ca_key(self) -> Authority:
        """The same without the key that could issue more: what a signing machine needs."""
        return replace(self, ca_key_pem=None)


def new_authority(now: datetime, *, organisation: str = "Mien") -> Authority:
    """An own certificate authority and the leaf that signs (P-256). Fresh keys: two calls give two authorities."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(organisation, f"{organisation} provenance root")
    builder = _certificate(name, name, key, now, AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(issues=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = _signed(builder, key)
    leaf_chain, leaf_key = _leaf(certificate, key, now, organisation)
    return Authority(
        ca_cert_pem=_pem(certificate), ca_key_pem=_key_pem(key), leaf_chain_pem=leaf_chain, leaf_key_pem=leaf_key
    )


def renewed(authority: Authority, now: datetime, *, organisation: str = "Mien") -> Authority:
    """The same authority with a fresh leaf, valid from ``now``. Clips that were signed before stay trusted.

    Raises ProvenanceError when the authority came without its key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if authority.ca_key_pem is None:
        raise ProvenanceError("the key of the authority is needed to issue another leaf", code="authority_key_missing")
    certificate = x509.load_pem_x509_certificate(authority.ca_cert_pem.encode())
    key = load_pem_private_key(authority.ca_key_pem.encode(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ProvenanceError("the key is not that of the authority's certificate", code="authority_key_missing")
    leaf_chain, leaf_key = _leaf(certificate, key, now, organisation)
    return replace(authority, leaf_chain_pem=leaf_chain, leaf_key_pem=leaf_key)


def _leaf(
    issuer: Certificate, issuer_key: EllipticCurvePrivateKey, now: datetime, organisation: str
) -> tuple[str, str]:
    """What C2PA asks of a signing certificate: an end entity, digitalSignature only, an accepted purpose, and the
    identifier of its issuer's key. The purpose is emailProtection: every validator accepts it without being told to."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    issuer_identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _certificate(_name(organisation, f"{organisation} clips"), issuer.subject, key, now, LEAF_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(issues=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier), critical=False
    )
    return _pem(_signed(builder, issuer_key)) + _pem(issuer), _key_pem(key)


def _certificate(
    subject: Name, issuer: Name, key: EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _CLOCKS_DIFFER).not_valid_after(now + life)


def _signed(builder: CertificateBuilder, key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography.hazmat.primitives.hashes import SHA256

    return builder.sign(key, SHA256())


def _name(organisation: str, common_name: str) -> Name:
    from cryptography.x509 import Name, NameAttribute
    from cryptography.x509.oid import NameOID

    return Name(
        [NameAttribute(NameOID.ORGANIZATION_NAME, organisation), NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _key_usage(*, issues: bool) -> KeyUsage:
    from cryptography.x509 import KeyUsage

    return KeyUsage(
        digital_signature=not issues,
        key_cert_sign=issues,
        crl_sign=issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# --------------------------------------------------------------------------------------------------------------------
# The manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where readers of a clip may ask about it: ``status``, an address that a clip's ``permit_sha256`` is put behind, and
    ``log``, the origin of the log that the gate's answer is in."""

    status: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAssertion:
    """What a clip says about the consents it was made under. No name, face, script, score or account is in it.

    permit_sha256 : of the permit's id; who holds the permit can show that this clip is its clip.
    consents : one for each person, salted: see :func:`salted`. In the order of the permit. (Clips of release 0.1 have the
        ids themselves.)
    purpose, backend, assurance : as the permit says.
    permitted_at : when the gate issued the permit, RFC 3339.
    status : an address that tells what has become of the consent; log : origin of the log. Empty in older clips.
    label : what the visible label says; ``label_height`` of the short side, throughout; ``opening_s`` seconds larger.
    """

    permit_sha256: str
    consents: tuple[str, ...]
    purpose: str
    backend: str
    assurance: str
    permitted_at: str
    status: str = ""
    log: str = ""
    label: str = LABEL_TEXT
    label_height: str = str(CORNER_HEIGHT)
    opening_s: str = str(OPENING_S)

    def to_data(self) -> dict[str, str | list[str]]:
        return {
            "permit_sha256": self.permit_sha256,
            "consents": list(self.consents),
            "purpose": self.purpose,
            "backend": self.backend,
            "assurance": self.assurance,
            "permitted_at": self.permitted_at,
            "status": self.status,
            "log": self.log,
            "label": self.label,
            "label_height": self.label_height,
            "opening_s": self.opening_s,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, object]) -> ConsentAssertion:
        """Raises ValueError unless ``data`` has exactly our fields, of our types."""
        consents = data.get("consents")
        if set(data) | _LATER_FIELDS != set(cls.__slots__) or not isinstance(consents, list):
            raise ValueError("other fields than those of the consent assertion")
        if not all(isinstance(value, str) for key, value in data.items() if key != "consents"):
            raise ValueError("a field of the consent assertion is no text")
        texts = {key: str(value) for key, value in data.items() if key != "consents"}
        return cls(consents=tuple(str(consent) for consent in consents), **texts)


_LATER_FIELDS = frozenset({"status", "log"})


def consent_assertion(permit: Permit, published: Published | None = None) -> ConsentAssertion:
    """What a clip made under ``permit`` may say about it in public. The ids of consents and subjects stay out."""
    digest = permit_digest(str(permit.permit_id))
    told = published or Published()
    return ConsentAssertion(
        permit_sha256=digest,
        consents=tuple(salted(permit, str(consent_id).encode()) for consent_id, _ in permit.consents),
        purpose=str(permit.purpose),
        backend=permit.backend,
        assurance=str(permit.assurance),
        permitted_at=permit.issued_at.isoformat(),
        status=f"{told.status}/{digest}" if told.status else "",
        log=told.log,
    )


def permit_digest(permit_id: str) -> str:
    """What a clip names its permit by, hex."""
    return hashlib.sha256(permit_id.encode()).hexdigest()


def salted(permit: Permit, content: bytes) -> str:
    """A digest of ``content`` that is another one in every clip; who holds the permit can make it again."""
    return "sha256:" + hashlib.sha256(str(permit.permit_id).encode() + b"|" + content).hexdigest()


def check_label(label: str) -> None:
    """An assertion label is either one of the standard ones we use or begins with a reversed domain (C2PA 2.2, 6.2).
    The library signs any label, so this is ours to hold.

    Raises ProvenanceError.
    """
    if label in _STANDARD_LABELS:
        return
    if label.startswith(_RESERVED) or _OWN_LABEL.fullmatch(label) is None:
        raise ProvenanceError(f"{label!r} is no assertion label of ours", code="assertion_label")


def manifest_definition(
    generator: str,
    consent: ConsentAssertion,
    *,
    watermark: int | None = None,
    inputs: Sequence[str] = (),
    edited: bool = False,
    composite: bool = False,
) -> dict[str, object]:
    """The manifest of a clip, as the library takes it.

    generator : ``name@version`` of what made the pictures. watermark : the number in them.
    inputs : salted digests of the pictures and recordings it was made from.
    edited : it was made in another clip, which is added as the ingredient ``original``. composite : or in one that cannot be.
    """
    name, _, release = generator.partition("@")
    portraits = [f"input-{number}" for number in range(len(inputs))]
    making: dict[str, object] = {
        "action": "c2pa.edited" if edited else "c2pa.created",
        "digitalSourceType": _source_type(edited or composite),
        "softwareAgent": {"name": name, "version": release or "0"},
    }
    if portraits:
        making["parameters"] = {"ingredientIds": portraits}
    opened: dict[str, object] = {"action": "c2pa.opened", "parameters": {"ingredientIds": [ORIGINAL]}}
    actions = [opened, making] if edited else [making]
    assertions: list[dict[str, object]] = []
    if watermark is not None:
        actions.append({"action": "c2pa.watermarked.bound"})
        # the library writes the list as an array of numbers where the specification (2.4, 18.10.2) has a byte string,
        # and reads both; it has no input that gives the latter (contentauth/c2pa-rs issue 2689)
        value = list(watermark.to_bytes(NUMBER_BITS // 8))
        assertions.append(
            {"label": _SOFT_BINDING, "data": {"alg": ALGORITHM, "blocks": [{"scope": {}, "value": value}]}}
        )
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": actions}},
        *assertions,
        {"label": "cawg.training-mining", "data": {"entries": {use: {"use": "notAllowed"} for use in _TRAINING}}},
        {"label": CONSENT_LABEL, "data": consent.to_data()},
    ]
    for assertion in assertions:
        check_label(str(assertion["label"]))
    return {
        "claim_generator_info": [{"name": PRODUCER, "version": _own_version()}],
        "title": "AI-edited clip" if edited else "AI-generated clip",
        "format": "video/mp4",
        "ingredients": [
            {
                "label": label,
                "title": "a consenting person's picture or voice",
                "format": "application/octet-stream",
                "relationship": "inputTo",
                "instance_id": f"urn:mien:{digest}",
                "description": "by salted digest only",
            }
            for label, digest in zip(portraits, inputs, strict=True)
        ],
        "assertions": assertions,
    }


def _source_type(of_a_film: bool) -> str:
    return EDITED_SOURCE_TYPE if of_a_film else DIGITAL_SOURCE_TYPE


ORIGINAL = "original"
"""Label of the ingredient that an edited clip was made in."""
_TRAINING = ("cawg.ai_inference", "cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining")


def _own_version() -> str:
    try:
        return version("mien")
    except PackageNotFoundError:  # run from a source tree
        return "0"


class ManifestSigner:
    """Signs manifests with the service's leaf (ES256). Keeps nothing open between two clips; may be shared by threads."""

    def __init__(self, authority: Authority) -> None:
        self._chain_pem = authority.leaf_chain_pem.encode()
        self._key_pem = authority.leaf_key_pem.encode()
        self.anchor_pem = authority.ca_cert_pem

    def sign(
        self, source: Path, destination: Path, definition: Mapping[str, object], *, original: Path | None = None
    ) -> None:
        """A copy of the mp4 ``source`` with the manifest in it. ``original``: the film that an edited clip was made in, of a
        :func:`film_type`.

        Raises ProvenanceError.
        """
        from c2pa import Builder, C2paError, C2paSignerInfo, C2paSigningAlg, Signer

        info = C2paSignerInfo(
            alg=C2paSigningAlg.ES256, sign_cert=self._chain_pem, private_key=self._key_pem, ta_url=None
        )
        try:
            with (
                _context(self.anchor_pem) as context,
                Builder(dict(definition), context=context) as builder,
                Signer.from_info(info) as signer,
                source.open("rb") as read,
                destination.open("w+b") as written,
            ):
                if original is not None:
                    with original.open("rb") as before:
                        builder.add_ingredient(_ORIGINAL, film_type(original) or "video/mp4", before)
                builder.sign(signer, "video/mp4", read, written)
        except C2paError as error:
            raise ProvenanceError(f"the manifest could not be signed ({type(error).__name__})") from error


def film_type(film: Path) -> str | None:
    """The media type by which C2PA takes this film as an ingredient, by its first bytes; ``None``: it does not."""
    with film.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp":
        return None
    return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"


_ORIGINAL = {"label": ORIGINAL, "title": "the clip this was made in", "relationship": "parentOf"}


def _context(anchor_pem: str) -> Context:
    from c2pa import Context

    return Context.from_dict(
        {
            "version": 1,
            "trust": {"trust_anchors": anchor_pem},
            # a stranger's file may name an address to fetch a manifest from: nothing is fetched
            "verify": {
                "verify_trust": True,
                "verify_after_sign": False,
                "remote_manifest_fetch": False,
                "ocsp_fetch": False,
            },
            # A thumbnail would put the person's face into every copy of the manifest.
            # Created assertions are those the signer itself stands for; others would count as hearsay.
            "builder": {
                "thumbnail": {"enabled": False},
                "created_assertion_labels": _CREATED_LABELS,
            },
        }
    )


# --------------------------------------------------------------------------------------------------------------------
# Reading a clip's marks


class ManifestState(StrEnum):
    """What a reader may believe.

    trusted  whole, unchanged, and signed under the anchor given.
    valid    whole and unchanged, but signed by somebody else.
    invalid  the clip or its manifest was changed after signing.
    none     there is no manifest.
    """

    TRUSTED = "trusted"
    VALID = "valid"
    INVALID = "invalid"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipManifest:
    """What the manifest of a file says, and how far to believe it. Nothing of it counts unless ``state`` is trusted.

    issuer : organisation named in the signing certificate.
    generator : ``name version`` of what made the pictures.
    actions : labels of the actions, in order.
    consent : our assertion; ``None`` if there is none or it is not of our form.
    inputs : how many pictures or recordings of people it was made from. watermark : the number said to be in the pictures.
    training_refused : it says that nothing may be trained on it.
    thumbnails : how many pictures the manifest carries.
    problems : codes of what failed, as C2PA names them.
    """

    state: ManifestState
    issuer: str = ""
    generator: str = ""
    actions: tuple[str, ...] = ()
    digital_source_type: str = ""
    consent: ConsentAssertion | None = None
    inputs: int = 0
    watermark: int | None = None
    training_refused: bool = False
    thumbnails: int = 0
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For people and programs that read the answer of ``mien clip verify``."""
        return {
            "state": self.state.value,
            "issuer": self.issuer,
            "generator": self.generator,
            "actions": list(self.actions),
            "digital_source_type": self.digital_source_type,
            "consent": self.consent.to_data() if self.consent is not None else None,
            "inputs": self.inputs,
            "watermark": None if self.watermark is None else f"{self.watermark:010x}",
            "training_refused": self.training_refused,
            "problems": list(self.problems),
        }


def verify_clip(path: Path, *, anchor_pem: str) -> ClipManifest:
    """Read the manifest of an mp4 and check it against ``anchor_pem`` (one or more certificates). Needs no network.

    Raises ProvenanceError when the file is no mp4 or cannot be read, or the anchor is no certificate; a missing or broken
    manifest is an answer.
    """
    from c2pa import C2paError, Reader

    _check_anchor(anchor_pem)
    try:
        with path.open("rb") as file:
            if file.read(12)[4:8] != b"ftyp":
                raise ProvenanceError("this is no mp4", code="clip_unreadable")
            file.seek(0)
            with _context(anchor_pem) as context, Reader("video/mp4", file, context=context) as reader:
                report = json.loads(reader.json())
                state = str(reader.get_validation_state())
    except C2paError.ManifestNotFound:
        return ClipManifest(state=ManifestState.NONE)
    except C2paError as error:
        return ClipManifest(state=ManifestState.INVALID, problems=(str(error).partition(":")[0],))
    except OSError as error:
        raise ProvenanceError(f"the clip could not be read ({type(error).__name__})", code="clip_unreadable") from error
    return _manifest(report, state)


def _check_anchor(anchor_pem: str) -> None:
    """The library takes any text for an anchor and then trusts nobody, which would look like a stranger's clip."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(anchor_pem.encode())
    except ValueError as error:
        raise ProvenanceError("the anchor is no certificate in PEM form", code="anchor_invalid") from error


def _manifest(report: Mapping[str, object], state: str) -> ClipManifest:
    """Ours from the library's report. What a stranger's manifest says may be anything: wrong forms read as missing."""
    active = _mapping(_mapping(report.get("manifests")).get(str(report.get("active_manifest"))))
    assertions = {str(a.get("label")): _mapping(a.get("data")) for a in _mappings(active.get("assertions"))}
    actions = _mappings(next((d for k, d in assertions.items() if k.startswith("c2pa.actions")), {}).get("actions"))
    created = next((action for action in actions if "digitalSourceType" in action), {})
    agent = _mapping(created.get("softwareAgent"))
    failures = _mapping(_mapping(report.get("validation_results")).get("activeManifest")).get("failure")
    try:
        consent = ConsentAssertion.from_data(assertions[CONSENT_LABEL]) if CONSENT_LABEL in assertions else None
    except ValueError:
        consent = None
    return ClipManifest(
        state=_STATES.get(state, ManifestState.INVALID),
        issuer=str(_mapping(active.get("signature_info")).get("issuer", "")),
        generator=f"{agent.get('name', '')} {agent.get('version', '')}".strip(),
        actions=tuple(str(action.get("action")) for action in actions),
        digital_source_type=str(created.get("digitalSourceType", "")),
        consent=consent,
        inputs=sum(each.get("relationship") == "inputTo" for each in _mappings(active.get("ingredients"))),
        watermark=_bound_number(assertions.get(_SOFT_BINDING, {})),
        training_refused=_all_refused(assertions.get("cawg.training-mining", {})),
        thumbnails=_thumbnails(report),
        problems=tuple(dict.fromkeys(str(failure.get("code")) for failure in _mappings(failures))),
    )


_STATES = {"Trusted": ManifestState.TRUSTED, "Valid": ManifestState.VALID, "Invalid": ManifestState.INVALID}


def _bound_number(binding: Mapping[str, object]) -> int | None:
    """The watermark's number in a soft binding of our scheme."""
    blocks = _mappings(binding.get("blocks"))
    if binding.get("alg") != ALGORITHM or len(blocks) != 1:
        return None
    try:
        value = base64.b64decode(str(blocks[0].get("value")), validate=True)
    except ValueError:
        return None
    return int.from_bytes(value) if len(value) == NUMBER_BITS // 8 else None


def _all_refused(assertion: Mapping[str, object]) -> bool:
    entries = _mapping(assertion.get("entries"))
    return set(_TRAINING) <= set(entries) and all(_mapping(e).get("use") == "notAllowed" for e in entries.values())


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _thumbnails(value: object) -> int:
    """How many thumbnails are named anywhere in the report: of the clip, or of something it was made from."""
    if isinstance(value, dict):
        return sum((key == "thumbnail") + _thumbnails(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(_thumbnails(inner) for inner in value)
    return int(isinstance(value, str) and value.startswith("c2pa.thumbnail"))


# --------------------------------------------------------------------------------------------------------------------
# Marking


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedClip:
    """A clip that may leave: labelled, signed, and read back as trusted.

    sha256 : of the file's bytes, hex. This is what the service stores and a completed permit names.
    """

    path: Path
    sha256: str
    bytes: int
    frame_count: int
    duration_ms: int
    manifest: ClipManifest


def mark(
    clip: Clip,
    permit: Permit,
    signer: ManifestSigner,
    out: Path,
    *,
    watermark: Watermark | None = None,
    published: Published | None = None,
    made_from: Sequence[bytes] = (),
    original: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> MarkedClip:
    """Write ``clip`` to ``out`` (``.mp4``) with all its marks. The only way a clip becomes a file.

    watermark : put into the pictures; ``None`` for a service without a registry to look numbers up in.
    made_from : pictures and recordings of the people, for the manifest, which gets their salted digests only.
    original : the film that the clip was made in, for one that was edited and not made from nothing; where C2PA does not know
        its container, by digest.
    progress : called with the number of pictures written so far.

    Raises PermitMismatch when the clip is longer than the permit allows, RenderError when it is not as long as it says,
    EncodeError, ProvenanceError, and whatever the clip's own pictures raise. Then nothing is left at ``out`` or beside
    it: no unmarked clip ever has the name of one.
    """
    out.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        encoded, signed = Path(folder) / "encoded.mp4", Path(folder) / "signed.mp4"
        consent = consent_assertion(permit, published)
        # 1. No longer than was permitted; asked again below, for a generator may not know what it will make.
        _check_length(clip.frame_count, clip, permit)
        # 2. Visible label, watermark and metadata key, while encoding.
        pictures = labelled(_counted(clip, permit), width=clip.width, height=clip.height, fps=clip.fps)
        if watermark is not None:
            pictures = watermarked(pictures, watermark, width=clip.width, height=clip.height)
        file = encode(
            pictures,
            clip.audio,
            width=clip.width,
            height=clip.height,
            fps=clip.fps,
            out=encoded,
            metadata=AigcLabel(producer=PRODUCER, produce_id=consent.permit_sha256).to_metadata(),
            progress=progress,
        )
        if file.frame_count != clip.frame_count:
            raise RenderError(f"{file.frame_count} pictures came, {clip.frame_count} were promised")
        # 3. Manifest.
        number = None if watermark is None else watermark.number
        inputs = [salted(permit, content) for content in made_from]
        opened = original if original is not None and film_type(original) is not None else None
        if original is not None and opened is None:
            inputs.append(salted(permit, original.read_bytes()))
        definition = manifest_definition(
            clip.generator,
            consent,
            watermark=number,
            inputs=inputs,
            edited=opened is not None,
            composite=original is not None,
        )
        signer.sign(encoded, signed, definition, original=opened)
        # 4. Proof, by reading what will leave.
        manifest = verify_clip(signed, anchor_pem=signer.anchor_pem)
        _check_marked(manifest, consent, watermark=number, inputs=len(inputs), of_a_film=original is not None)
        # 5. Only now does it get its name.
        digest, size = _digest(signed)
        signed.replace(out)
    return MarkedClip(
        path=out,
        sha256=digest,
        bytes=size,
        frame_count=file.frame_count,
        duration_ms=file.duration_ms,
        manifest=manifest,
    )


def _check_length(frames: int, clip: Clip, permit: Permit) -> None:
    most = permit.obligations.max_seconds
    if frames > most * clip.fps:
        raise PermitMismatch(f"{frames / clip.fps:.1f} s, at most {most} s permitted")


def _counted(clip: Clip, permit: Permit) -> Iterator[RgbImage]:
    for count, image in enumerate(clip.frames, start=1):
        _check_length(count, clip, permit)
        yield image


def _check_marked(
    manifest: ClipManifest, consent: ConsentAssertion, *, watermark: int | None, inputs: int, of_a_film: bool
) -> None:
    wrong = [
        name
        for name, right in (
            ("state", manifest.state is ManifestState.TRUSTED),
            ("consent", manifest.consent == consent),
            ("source type", manifest.digital_source_type == _source_type(of_a_film)),
            ("watermark", manifest.watermark == watermark),
            ("inputs", manifest.inputs == inputs),
            ("training", manifest.training_refused),
            ("thumbnails", manifest.thumbnails == 0),
        )
        if not right
    ]
    if wrong:
        raise ProvenanceError(f"the marks do not verify: {', '.join(wrong)}; state {manifest.state}")


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
