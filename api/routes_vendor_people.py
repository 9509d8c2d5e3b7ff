"""A person has a vendor verify them, so that the vendor's generator takes their real face: begun, taken further, looked at.

For the app that enrolled them and for the person. The consent must cover the vendor; what is kept there is deleted when it
ends.
"""

from __future__ import annotations

from fastapi import APIRouter, Request

from api import vendor_people
from api.auth import AnyCaller, Caller, KeyHolder, Person, Role
from api.calls import Call
from api.errors import Problem
from api.remote_clips import Remotes
from api.schemas import VendorPeople, VendorPerson
from api.service import Service, TheService
from api.tables import ConsentRow
from api.vendor_people import Known

router = APIRouter(prefix="/v1/consents/{consent_id}/vendors", tags=["consent"], route_class=Call)


@router.get("")
def listed(consent_id: str, who: AnyCaller, service: TheService) -> VendorPeople:
    """At which vendors this person is known, and where that stands; also what was deleted there."""
    _mine(service, consent_id, who)
    with service.database.transaction() as store:
        found = [vendor_people.known(row) for row in store.vendor_people(consent_id)]
    return VendorPeople(people=[_shown(each) for each in found])


@router.post("/{backend}/verification", status_code=201)
def begin(consent_id: str, backend: str, who: AnyCaller, request: Request, service: TheService) -> VendorPerson:
    """Invite the person to the vendor's own live check. ``link`` is for them, opens on their phone, and lasts two minutes."""
    _mine(service, consent_id, who)
    remotes: Remotes = request.app.state.remotes
    return _shown(vendor_people.begin(service, remotes, consent_id, backend))


@router.post("/{backend}/verification/advance")
def advance(consent_id: str, backend: str, who: AnyCaller, request: Request, service: TheService) -> VendorPerson:
    """Ask the vendor, and go a step further if it is ready. Call it again until the state is ``ready``."""
    _mine(service, consent_id, who)
    remotes: Remotes = request.app.state.remotes
    return _shown(vendor_people.advance(service, remotes, consent_id, backend))


def _mine(service: Service, consent_id: str, who: Caller) -> None:
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
    match who:
        case Person():
            mine = row is not None and (who.consent_id == consent_id or who.session_id == row.session_id)
        case KeyHolder(role=Role.APP):
            mine = row is not None and row.app_key_id == who.key_id
        case _:
            mine = False
    if not mine:
        raise Problem("not_found")


def _shown(known: Known) -> VendorPerson:
    return VendorPerson(
        backend=known.backend,
        state=known.state,
        invited_at=known.invited_at,
        link=known.link,
        link_expires_at=known.link_expires_at,
        forgotten_at=known.forgotten_at,
    )
