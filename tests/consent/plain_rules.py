"""The limits of a consent once more in plain Python, as a reader of the terms would write them. Cedar must agree."""

from __future__ import annotations

from consent.gate import Use
from consent.record import ConsentRecord


def plain_codes(record: ConsentRecord, use: Use, *, uses_so_far: int | None, approved: bool) -> set[str]:
    scope, limits, codes = record.scope, record.limits, set[str]()
    if use.purpose not in scope.purposes:
        codes.add("scope_purpose")
    if scope.audience != ("*",) and use.backend not in scope.audience:
        codes.add("scope_audience")
    asks = "self" if use.maker == record.subject_id else use.maker
    if scope.makers != ("*",) and asks not in scope.makers:
        codes.add("scope_maker")
    if use.seconds is not None and use.seconds > limits.max_seconds:
        codes.add("scope_limits")
    if limits.uses is not None and (uses_so_far is None or not 0 <= uses_so_far < limits.uses):
        codes.add("scope_limits")
    stated = None if use.categories is None else set(use.categories)
    if limits.forbidden_categories and (stated is None or stated & set(limits.forbidden_categories)):
        codes.add("scope_content")
    if limits.allowed_categories is not None and (stated is None or stated - set(limits.allowed_categories)):
        codes.add("scope_content")
    if "*" not in limits.territories and (
        not use.territories or not all(map(_held(limits.territories), use.territories))
    ):
        codes.add("scope_territory")
    if scope.approval == "always" and not approved:
        codes.add("approval_needed")
    return codes


def _held(allowed: tuple[str, ...]):  # type: ignore[no-untyped-def]
    return lambda code: code in allowed or (code != "*" and code.split("-")[0] in allowed)
