"""The serving model once more, in NumPy: what the library's numbers are held to."""

import numpy as np

import jaxscale as js


def shape_of(family, params):
    """Layers, width, and what follows, of a family at a size: by bisection of its params."""
    per_square = (
        2 + 2 / family.kv_group + family.experts * (3 if family.gated else 2) * family.ff_ratio
    )
    tables = 1 if family.tied else 2

    def total(width):
        layers = family.scale * width**family.power
        return (
            layers * (per_square * width**2 + 2 * width)
            + width
            + tables * family.vocabulary * width
        )

    low, high = np.full_like(params, 1e-3), np.full_like(params, 1e9)
    for _ in range(200):
        middle = np.sqrt(low * high)
        below = total(middle) < params
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    width = np.sqrt(low * high)
    layers = family.scale * width**family.power
    matrices = layers * per_square * width**2
    return {
        "layers": layers,
        "width": width,
        "matrices": matrices,
        "logits": family.vocabulary * width,
        "norms": (2 * layers + 1) * width,
        "params": params,
        "kv": 2 * layers * width / family.kv_group,  # numbers of a token
        "kv_heads": width / family.head_size / family.kv_group,
    }


def rates_of(device, count, *, weights=2.0):
    """What `count` devices of one domain, or stages of whole domains, reach."""
    tensor = min(count, device.domain)
    share = 0.85 ** (np.log2(tensor) / 3)
    return {
        "tensor": tensor,
        "stages": count / tensor,
        "flops": tensor * device.peak_flops["bf16"] * 0.7 * share,
        "bandwidth": tensor * device.memory_bandwidth * 0.85 * share,
        "link": device.link_bandwidth * 0.86,
        "network": (device.network_bandwidth or 50e9) * 0.86,
        "memory": 0.9 * device.memory_bytes * count,
        "count": count,
        "price": device.price / 3600 * count,
        "weights": weights,
    }


def pass_seconds(a, r, part, new, context, read, streams=1.0):
    """Seconds of a pass over `part` sequences of `new` tokens each; logits of one of them.

    Streams multiply all but the weights and the logits.
    """
    reduce = 30e-6 if r["tensor"] > 1 else 0.0
    run = part * new * streams  # tokens through the layers
    size = run * a["width"] * 2.0
    network = 2 * a["layers"] * (reduce + 2 * (r["tensor"] - 1) / r["tensor"] * size / r["link"])
    if r["stages"] > 1:
        hop = 24e-6 + size / (r["tensor"] * r["network"])
        network = network + (r["stages"] - 1) * hop
    launch = 4 * a["layers"] * 4e-6
    compute = 2 * (run * a["matrices"] + part * a["logits"]) / r["flops"]
    weights = (a["matrices"] + a["logits"] + a["norms"]) * r["weights"] / r["bandwidth"]
    copies = np.maximum(r["tensor"] / a["kv_heads"], 1)
    cache = part * streams * a["kv"] * read * 2.0 * copies / r["bandwidth"]
    scores = run * 4 * a["layers"] * a["width"] * context / r["flops"]
    return launch + network + np.maximum(compute, weights) + np.maximum(scores, cache)


def price(a, r, prompt, output, batch, limits=(np.inf, np.inf), streams=1.0):
    """Dollars of a token read and of one written; infinite where memory or a limit is exceeded."""
    part = np.maximum(batch / r["stages"], 1)
    seen = prompt + output / 2
    step = pass_seconds(a, r, part, 1.0, seen, seen, streams)
    reading = pass_seconds(a, r, 1.0, prompt, prompt / 2, prompt, streams)
    copies = np.maximum(r["tensor"] / a["kv_heads"], 1)
    each = streams * a["kv"] * (prompt + output) * 2.0 * copies
    used = a["params"] * r["weights"] + batch * each
    work = reading / r["stages"]  # stages read several prompts at a time
    token = step + batch / output * work
    good = (used <= r["memory"] * (1 + 1e-9)) & (token <= limits[0] * (1 + 1e-9))
    good &= reading <= limits[1] * (1 + 1e-9)
    read = np.where(good, r["price"] * work / prompt, np.inf)
    return read, np.where(good, r["price"] * step / batch, np.inf)


def accelerator(name="H100-SXM", price=2.0):
    return js.accelerator(name, price=price)
