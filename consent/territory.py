"""Where a clip may be published: countries (ISO 3166-1 alpha-2), their parts (ISO 3166-2) or the world.

A part lies in its country and a country in the world: who allows ``US`` allows ``US-CA``, and who allows ``US-CA`` does not
allow ``US``. Country codes are checked, so that ``UK`` for ``GB`` is an error and not a country where nothing is allowed;
codes of parts are checked in form only.
"""

from __future__ import annotations

import re

WORLD = "*"

_COUNTRIES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
COUNTRIES = frozenset(_COUNTRIES.split())
"""Officially assigned codes of ISO 3166-1, 249 of them."""

_PART = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")


def is_territory(code: str) -> bool:
    """A country, a part of one, or :data:`WORLD`."""
    part = _PART.fullmatch(code)
    return code == WORLD or code in COUNTRIES or (part is not None and part[1] in COUNTRIES)


def holding(code: str) -> tuple[str, ...]:
    """The territory itself and those it lies in, from the smallest: ``US-CA``, ``US``, ``*``."""
    if code == WORLD:
        return (WORLD,)
    return (code, WORLD) if code in COUNTRIES else (code, code[:2], WORLD)
