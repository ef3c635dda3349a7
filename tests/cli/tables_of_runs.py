"""Tables of runs that tests write: from a law with noise, so that no data are needed."""

import csv

import jaxscale as js

LAW = js.laws.published("besiroglu2024")


def simulated(count=60, **options):
    return js.fitting.simulate(LAW, count, **{"key": 3, "noise": 0.004, **options})


def write_table(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def columns_of(runs):
    return {name: getattr(runs, name).tolist() for name in ("params", "tokens", "loss")}
