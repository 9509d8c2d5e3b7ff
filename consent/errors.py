"""What can go wrong with consents, as opposed to what a person or the gate may answer.

    ConsentError
    ├── KeysUnusable      a key or key set is not what it should be
    ├── SignatureInvalid  a signed thing is not signed by us, or is another kind of thing
    ├── ConsentInvalid    a consent, a narrowing, a withdrawal or a token that the rules do not allow to be made
    ├── RecordInvalid     a record or its events contradict themselves
    ├── LedgerBroken      the log does not hold, from ``index`` on
    ├── ProofInvalid      a Merkle proof does not lead where it should
    ├── NoteInvalid       a signed note or checkpoint is malformed or not signed by who should have
    ├── ReceiptInvalid    a receipt does not prove what it says
    ├── EvidenceInvalid   an evidence pack does not prove what it says
    ├── PolicyFailed      the limits of a consent could not be evaluated
    ├── TokenInvalid      a consent token is not valid here and now
    ├── StatusListInvalid a status list is not signed by us, is another one, or does not unpack
    ├── PermitInvalid     a permit is not valid here and now
    └── PurgeInvalid      a statement that something was deleted, or the receipt for it, does not hold

A use that the consents do not cover is no error: that is a :class:`consent.gate.Refusal`.
"""

from __future__ import annotations


class ConsentError(Exception):
    """Base of this package. ``code`` is stable and may be shown to callers; the message names no person and no token."""

    code: str = "consent_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class KeysUnusable(ConsentError):
    """A key is of another kind, a set holds a private or a wrongly named key, or holds none that we can use."""

    code = "keys_unusable"


class SignatureInvalid(ConsentError):
    """Codes: ``wrong_type`` (a signed thing of another kind, or of another shape than its kind has), ``bad_signature``
    (everything else: size, form, algorithm, unknown key, signature)."""

    code = "bad_signature"


class ConsentInvalid(ConsentError):
    """The rules do not allow this to be made; nothing was made. Codes are listed where it is raised."""

    code = "consent_invalid"


class RecordInvalid(ConsentError):
    """A record is not signed by us, has another shape, or its events are out of order or contradict each other."""

    code = "record_invalid"


class LedgerBroken(ConsentError):
    """The log does not hold. ``index`` is the first entry that is wrong, or that what is wrong stands over."""

    code = "ledger_broken"

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"entry {index}: {why}")
        self.index = index
        self.why = why


class ProofInvalid(ConsentError):
    """A Merkle proof does not lead from where it starts to where it should."""

    code = "proof_invalid"


class NoteInvalid(ConsentError):
    """Codes: ``note_invalid`` (malformed), ``note_unsigned`` (no signature of a known key), ``bad_signature`` (a known key's
    signature does not hold)."""

    code = "note_invalid"


class ReceiptInvalid(ConsentError):
    """A receipt does not prove that its record is in the log. Codes: ``receipt_invalid``, ``receipt_outdated`` (of the hash
    chain that came before the tree: the service gives a new one), ``not_witnessed`` (fewer witnesses than wanted)."""

    code = "receipt_invalid"


class PolicyFailed(ConsentError):
    """The policy engine met an error or gave no reason for its no; whoever asked must take it for a refusal."""

    code = "policy_failed"


class TokenInvalid(ConsentError):
    """Codes are those of :class:`consent.tokens.TokenCode`."""

    code = "bad_signature"


class StatusListInvalid(ConsentError):
    """A status list that is no answer."""

    code = "status_list_invalid"


class PermitInvalid(ConsentError):
    """Codes: ``permit_invalid``, ``permit_expired``."""

    code = "permit_invalid"


class PurgeInvalid(ConsentError):
    """Codes: ``purge_statement_invalid``, ``purge_receipt_invalid``."""

    code = "purge_statement_invalid"


class EvidenceInvalid(ConsentError):
    """An evidence pack is not as the service signed it, or what it holds does not fit together."""

    code = "evidence_invalid"
