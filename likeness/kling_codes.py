"""Kling's errors, which both of its interfaces share."""

from __future__ import annotations

from likeness.remote import Again, Answer, Fault, FaultCode, fault_of_status

_MODERATED = ("risk", "safety", "sensitive", "policy", "moderat", "violat")


def fault_of_message(message: str) -> Fault:
    """A job that failed later has only a sentence: read for its gist, and not kept."""
    lowered = message.lower()
    refused = any(word in lowered for word in _MODERATED)
    return Fault(code=FaultCode.INPUT_REFUSED if refused else FaultCode.VENDOR_FAILED)


def fault_of_code(answer: Answer) -> Fault | None:
    """Kling's table of codes, which both of its interfaces share. 429 also means that there is no money."""
    said = answer.doc_or_empty()
    code = said.text_or("code") if said.has("code") else ""
    if answer.status < 300 and code in ("", "0"):
        return None
    found = {
        "1100": FaultCode.CREDIT_EXHAUSTED,
        "1101": FaultCode.CREDIT_EXHAUSTED,
        "1102": FaultCode.CREDIT_EXHAUSTED,
        "1103": FaultCode.NOT_ENTITLED,
        "1202": FaultCode.JOB_UNKNOWN,
        "1203": FaultCode.JOB_UNKNOWN,
        "1300": FaultCode.INPUT_REFUSED,
        "1301": FaultCode.INPUT_REFUSED,
        "1304": FaultCode.NOT_ENTITLED,
    }.get(code)
    if found is None and code.startswith("100"):
        found = FaultCode.CREDENTIALS_REFUSED
    if found is None and code in ("1200", "1201"):
        found = FaultCode.INPUT_INVALID
    if found is not None:
        return Fault(code=found, vendor_code=code)
    if code in ("1302", "1303"):
        return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE, vendor_code=code)
    return fault_of_status(answer, vendor_code=code) or Fault(
        code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE, vendor_code=code
    )
