"""The limits of a consent as policy: Cedar decides whether a use is within them, and names every rule that it breaks.

The policies are fixed text, below; what a person chose is data: the record is one entity, the use a request. So nothing that
anybody typed is ever read as policy, the text is checked against the schema once, and whoever wants to know what the rules
are reads them here. Forbid wins over permit and what no policy permits is denied (Cedar, authorization semantics).

Cedar skips a policy that fails to evaluate. A forbid that is skipped would be a yes, so any error is a no here
(:class:`consent.errors.PolicyFailed`). Every forbid asks first whether an attribute is there: what a person limited and a
maker did not state is refused.

What Cedar does not do stays in :mod:`consent.gate`: who somebody is, which words a script has, what was signed. This file is
the only one that knows the library.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cedarpy import Entities, PolicySet, Schema, is_authorized_batch

from consent.canonical import EPOCH
from consent.content import ContentCategory
from consent.errors import PolicyFailed
from consent.record import ConsentRecord
from consent.scope import EVERY_BACKEND, EVERYONE, ONLY_ME
from consent.terms import Purpose
from consent.territory import holding

SCHEMA = """
entity Territory in [Territory];
entity Backend;
entity Consent = {
    state: String, ends_us: Long,
    purposes: Set<String>, every_backend: Bool, backends: Set<Backend>, everyone: Bool, makers: Set<String>,
    approval: String, max_seconds: Long, uses?: Long,
    forbidden_categories: Set<String>, allowed_categories?: Set<String>, territories: Set<Territory>,
};
action depict appliesTo {
    principal: [Backend], resource: [Consent],
    context: {
        purpose: String, now_us: Long, approved: Bool, seconds?: Long, uses_so_far?: Long,
        maker?: String, categories?: Set<String>, territory?: Territory,
    }
};
"""

POLICIES = """
@id("given")
permit (principal is Backend, action == Action::"depict", resource is Consent)
when { ["given", "renewed"].contains(resource.state) && context.now_us < resource.ends_us
    && resource.purposes.contains(context.purpose)
    && (resource.every_backend || resource.backends.contains(principal)) };

@id("purpose")
forbid (principal, action, resource is Consent)
unless { resource.purposes.contains(context.purpose) };

@id("audience")
forbid (principal, action, resource is Consent)
unless { resource.every_backend || resource.backends.contains(principal) };

@id("maker")
forbid (principal, action, resource is Consent)
unless { resource.everyone || (context has maker && resource.makers.contains(context.maker)) };

@id("seconds")
forbid (principal, action, resource is Consent)
when { context has seconds && context.seconds > resource.max_seconds };

@id("uses")
forbid (principal, action, resource is Consent)
when { resource has uses }
unless { context has uses_so_far && 0 <= context.uses_so_far && context.uses_so_far < resource.uses };

@id("category_forbidden")
forbid (principal, action, resource is Consent)
unless { resource.forbidden_categories.isEmpty()
    || (context has categories && !resource.forbidden_categories.containsAny(context.categories)) };

@id("category_not_allowed")
forbid (principal, action, resource is Consent)
when { resource has allowed_categories }
unless { context has categories && resource.allowed_categories.containsAll(context.categories) };

@id("territory")
forbid (principal, action, resource is Consent)
unless { resource.territories.contains(Territory::"*")
    || (context has territory && context.territory in resource.territories) };

@id("approval")
forbid (principal, action, resource is Consent)
when { resource.approval != "never" }
unless { context.approved };
"""


class Rule(StrEnum):
    """What may stop a use; the ids of the forbidding policies, in the order in which reasons are given."""

    PURPOSE = "purpose"
    AUDIENCE = "audience"
    MAKER = "maker"
    SECONDS = "seconds"
    USES = "uses"
    CATEGORY_FORBIDDEN = "category_forbidden"
    CATEGORY_NOT_ALLOWED = "category_not_allowed"
    TERRITORY = "territory"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A use as far as policy judges it. ``None``: not stated (``seconds``: not known yet, bounded by the permit).

    maker : who asks; the person's own pseudonym when it is them. territories : where it will be published.
    """

    backend: str
    purpose: Purpose
    seconds: float | None
    maker: str | None
    categories: tuple[ContentCategory, ...] | None
    territories: tuple[str, ...] | None
    uses_so_far: int | None
    approved: bool


def broken_rules(record: ConsentRecord, asked: Asked, *, now: datetime) -> tuple[Rule, ...]:
    """Every rule of this consent that the use breaks; none: it is within the limits.

    Raises:
        PolicyFailed: an error in evaluation, or a no without a rule (the consent does not hold).
    """
    policies, schema = _engine()
    context: dict[str, Any] = {
        "purpose": asked.purpose.value,
        "now_us": _microseconds(now),
        "approved": asked.approved,
    }
    if asked.seconds is not None:
        context["seconds"] = math.ceil(asked.seconds)
    if asked.uses_so_far is not None:
        context["uses_so_far"] = asked.uses_so_far
    if asked.maker is not None:
        context["maker"] = ONLY_ME if asked.maker == record.subject_id else asked.maker
    if asked.categories is not None:
        context["categories"] = [category.value for category in asked.categories]
    contexts = [context | {"territory": _uid("Territory", code)} for code in asked.territories or ()] or [context]
    answers = is_authorized_batch(
        [
            {
                "principal": {"type": "Backend", "id": asked.backend},
                "action": {"type": "Action", "id": "depict"},
                "resource": {"type": "Consent", "id": "this"},
                "context": one,
            }
            for one in contexts
        ],
        policies,
        _entities(
            json.dumps([_consent(record, now), *_territories((*record.limits.territories, *(asked.territories or ())))])
        ),
        schema,
    )
    broken: set[Rule] = set()
    for answer in answers:
        if answer.diagnostics.errors:
            raise PolicyFailed("a policy could not be evaluated")
        if answer.allowed:
            continue
        named = set(answer.diagnostics.id_annotations_by_reason.values())
        if not named:
            raise PolicyFailed("no policy permits this and none forbids it")
        broken |= {Rule(name) for name in named}
    if len(answers) != len(contexts):
        raise PolicyFailed("fewer answers than questions")
    return tuple(rule for rule in Rule if rule in broken)


@functools.cache
def _engine() -> tuple[PolicySet, Schema]:
    return PolicySet.from_str(POLICIES), Schema.from_str(SCHEMA)


@functools.lru_cache(maxsize=4096)  # some 5 kB each
def _entities(text: str) -> Entities:
    """What this text says, held against the schema. The same text says the same; Cedar takes longer to read it than to decide.

    Raises: PolicyFailed.
    """
    try:
        return Entities.from_json_str(text, _engine()[1])
    except ValueError as error:
        raise PolicyFailed("a consent that the schema does not have") from error


def _consent(record: ConsentRecord, now: datetime) -> dict[str, Any]:
    scope, limits = record.scope, record.limits
    chosen: dict[str, Any] = {
        "state": record.state_at(now).value,
        "ends_us": _microseconds(record.expires_at),
        "purposes": [purpose.value for purpose in scope.purposes],
        "every_backend": scope.audience == (EVERY_BACKEND,),
        "backends": [_uid("Backend", name) for name in scope.audience],
        "everyone": scope.makers == (EVERYONE,),
        "makers": list(scope.makers),
        "approval": scope.approval.value,
        "max_seconds": limits.max_seconds,
        "forbidden_categories": [category.value for category in limits.forbidden_categories],
        "territories": [_uid("Territory", code) for code in limits.territories],
    }
    if limits.uses is not None:
        chosen["uses"] = limits.uses
    if limits.allowed_categories is not None:
        chosen["allowed_categories"] = [category.value for category in limits.allowed_categories]
    return {"uid": {"type": "Consent", "id": "this"}, "attrs": chosen, "parents": []}


def _territories(codes: tuple[str, ...]) -> list[dict[str, Any]]:
    """These territories and those they lie in."""
    chains = {code: holding(code) for named in codes for code in holding(named)}
    return [
        {
            "uid": {"type": "Territory", "id": code},
            "attrs": {},
            "parents": [{"type": "Territory", "id": parent} for parent in chain[1:2]],
        }
        for code, chain in chains.items()
    ]


def _uid(kind: str, name: str) -> dict[str, dict[str, str]]:
    return {"__entity": {"type": kind, "id": name}}


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
