"""Real people at Ark and ModelArk: a person proves to the vendor, on their own phone, that they are there; then pictures of
them can be kept there as assets, each compared with the face that was seen, and named by ``asset://`` in orders.

    1. :func:`begin` gives a link that the person opens within two minutes (the vendor's own live check)
    2. :func:`finish` gives the group that this person now is at the vendor's
    3. :func:`keep` puts a picture into the group; it is fetched from an address of ours that serves these bytes only
    4. :func:`standing_of` says when it can be used
    5. :func:`forget` and :func:`forget_person` when the consent ends

The group is evidence beside a consent and never replaces one. The control plane is another host with signed requests; which
one belongs to which region is on the card.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from likeness.credentials import VolcengineSignature
from likeness.errors import RemoteError
from likeness.remote import (
    Account,
    Answer,
    Doc,
    Exchange,
    Fault,
    FaultCode,
    Json,
    Steps,
    call,
    fault_of_status,
    vendor_word,
)

VERSION = "2024-01-01"
LINK_S = 120
_PASSED = "10000"


class PersonState(StrEnum):
    """Where a person stands at the vendor's.

    invited    they have a link to its live check.
    verified   it saw them, and has no picture yet.
    kept       their picture is there and is being looked at.
    ready      orders may name it.
    refused    it says that the picture is not of them.
    forgotten  nothing of them is there any more.
    """

    INVITED = "invited"
    VERIFIED = "verified"
    KEPT = "kept"
    READY = "ready"
    REFUSED = "refused"
    FORGOTTEN = "forgotten"


class AssetState(StrEnum):
    PROCESSING = "Processing"
    ACTIVE = "Active"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """``link``: for the person's own eyes, about two minutes. ``token``: what the answer is asked for with."""

    link: str = field(repr=False)
    token: str = field(repr=False)


def begin(account: Account, *, back_to: str) -> Steps[Invitation]:
    """``back_to``: where the vendor sends the person afterwards, with ``bytedToken`` and ``resultCode``."""
    result = yield from _action(account, "CreateVisualValidateSession", {"CallbackURL": back_to})
    return Invitation(link=result.text("H5Link"), token=result.text("BytedToken"))


def passed(result_code: str) -> bool:
    """What came back with the person. It is the person's browser that says so: :func:`finish` is what counts."""
    return result_code == _PASSED


def finish(account: Account, *, token: str) -> Steps[str]:
    """The group that the person is. Raises: RemoteError ``person_unverified``."""
    result = yield from _action(account, "GetVisualValidateResult", {"BytedToken": token})
    group = result.text_or("GroupId")
    if not group:
        raise RemoteError("the vendor has not verified this person", code=FaultCode.PERSON_UNVERIFIED)
    return group


def keep(account: Account, *, group: str, address: str, name: str) -> Steps[str]:
    """The asset that a picture becomes. ``name``: no name of a person, but of the bytes."""
    result = yield from _action(
        account, "CreateAsset", {"GroupId": group, "URL": address, "AssetType": "Image", "Name": name}, spends=True
    )
    return result.text("Id")


def standing_of(account: Account, *, asset: str) -> Steps[AssetState]:
    """Whether it can be used; ``Failed`` also when the picture is not of the person."""
    result = yield from _action(account, "GetAsset", {"Id": asset})
    try:
        return AssetState(result.text("Status"))
    except ValueError:
        raise RemoteError("an unknown status of an asset", code=FaultCode.ANSWER_UNREADABLE) from None


def forget(account: Account, *, asset: str) -> Steps[None]:
    """Delete a picture of a person there. One that is gone already is gone."""
    yield from _action(account, "DeleteAsset", {"Id": asset})


def forget_person(account: Account, *, group: str) -> Steps[None]:
    """Delete a person there, with all their pictures. One who is gone already is gone."""
    yield from _action(account, "DeleteAssetGroup", {"Id": group})


def fault(exchange: Exchange, answer: Answer) -> Fault | None:
    """The control plane's words: an error may come with any status."""
    error = answer.doc_or_empty().doc_or_empty("ResponseMetadata").doc_or_empty("Error")
    code = error.text_or("Code")
    plain = fault_of_status(answer, vendor_code=code)
    if not code:
        return plain
    first = code.partition(".")[0]
    if "NotFound" in code and "Action=Delete" in exchange.url:
        return None
    if first in ("SignatureDoesNotMatch", "InvalidAccessKey", "InvalidCredential"):
        return Fault(code=FaultCode.CREDENTIALS_REFUSED, vendor_code=vendor_word(code))
    if "FaceMismatch" in code or first in ("FaceNotMatch", "VisualValidateFailed"):
        return Fault(code=FaultCode.PERSON_UNVERIFIED, vendor_code=vendor_word(code))
    return plain or Fault(code=FaultCode.INPUT_INVALID, vendor_code=vendor_word(code))


def _action(account: Account, action: str, body: dict[str, Json], *, spends: bool = False) -> Steps[Doc]:
    signature = VolcengineSignature(
        access_key=account.secret("access_key"),
        secret_key=account.secret("secret_key"),
        region=account.options["people_region"],
        service="ark",
    )
    url = f"{account.options['people_host'].rstrip('/')}/?Action={action}&Version={VERSION}"
    answer = yield call(
        "POST", url, auth=signature, body={**body, "ProjectName": account.options["project"]}, spends=spends
    )
    return answer.doc().doc_or_empty("Result")
