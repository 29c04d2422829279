"""Figures that tests measure: each test process appends to build/figures/, tools/figures makes the page of them."""
import json
import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "figures"


def record(what, value, unit, limit=""):
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f"{os.getpid()}.jsonl", "a") as file:
        file.write(json.dumps({"what": what, "value": value, "unit": unit, "limit": limit}) + "\n")
