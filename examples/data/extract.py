#!/usr/bin/env python3
"""Makes the CSV files of the examples from an unpacked vega-datasets package.

    extract.py quakes PACKAGE > quakes.csv
    extract.py flights PACKAGE [20k|200k] > flights.csv

Standard library only. The same package always gives the same bytes.
"""

import csv
import json
import pathlib
import sys


def write(header, rows):
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(header)
    out.writerows(rows)


def quakes(package):
    """One line an event, in the order of time."""
    events = json.loads((package / "data/earthquakes.json").read_text())["features"]
    rows = []
    for event in events:
        about = event["properties"]
        if about["type"] != "earthquake" or about["mag"] is None:
            continue
        place = about["place"].replace(",", ";").replace('"', "")
        rows.append((about["time"], event["id"], f"{about['mag']:.2f}", place))
    write(("time_ms", "id", "magnitude", "place"), sorted(rows))


def clock(hours):
    minutes = round(hours * 60)
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def flights(package, size="20k"):
    """One line a flight, in the order of the file. The set of 200k knows the hour only."""
    records = json.loads((package / f"data/flights-{size}.json").read_text())
    write(
        ("time", "delay", "distance", "origin", "destination"),
        (
            (
                record["date"].replace("/", "-").replace(" ", "T") if "date" in record
                else clock(record["time"]),
                record["delay"],
                record["distance"],
                record.get("origin", ""),
                record.get("destination", ""),
            )
            for record in records
        ),
    )


def main():
    sets = {"quakes": quakes, "flights": flights}
    if len(sys.argv) < 3 or sys.argv[1] not in sets:
        sys.exit(__doc__)
    sets[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])


if __name__ == "__main__":
    main()
