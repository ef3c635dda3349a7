"""Units that names of columns state: `tokens_B`, `params(M)`, `n_params_millions`, `D [1e9]`."""

import re

from jaxscale.fitting._suspicions.sheet import words

UNIT_WORDS = {
    1e3: ("k", "thousand", "thousands", "kilo"),
    1e6: ("m", "mn", "mio", "million", "millions", "mega"),
    1e9: ("b", "bn", "g", "billion", "billions", "giga"),
    1e12: ("t", "tn", "trillion", "trillions", "tera"),
}
SCALE = {word: unit for unit, each in UNIT_WORDS.items() for word in each}
POWER = re.compile(r"(?<![0-9.])(?:1e\+?|10\s*(?:\^|\*\*)\s*)([0-9]{1,2})(?![0-9])")
SUBJECTS = r"(?:n_?)?(?:params?|parameters?|tokens?|toks?)"
JOINED = (
    re.compile(rf"{SUBJECTS}([KMBGT])n?$"),  # paramsM, n_tokensB
    re.compile(rf"^([kKMBGT]){SUBJECTS}$"),  # kparams, Gtokens
)
BITS = {"bpb", "bpc", "bpt", "bpw", "bit", "bits"}


def stated_unit(name: str) -> float | None:
    """The count of one unit of a column, where its name says so."""
    power = POWER.search(name.lower())
    if power:
        return 10.0 ** int(power[1])
    for pattern in JOINED:
        joined = pattern.search(name)
        if joined:
            return SCALE[joined[1].lower()]
    parts = re.findall(r"[a-z]+[0-9]*", name.lower())
    # A letter alone names a quantity, as B and D do.
    units = [SCALE[part] for part in parts[1:] if part in SCALE]
    units += [SCALE[part] for part in parts[:1] if part in SCALE and len(part) > 3]
    return units[0] if len(units) == 1 else None


def states_bits(name: str) -> bool:
    """Whether a column is named for bits: per byte, character or token."""
    is_product = "*" in name  # of a column and its unit
    return bool(words(name) & BITS) and "nats" not in words(name) and not is_product
