"""VMOS_ONLY=ARCH keeps the tests of one architecture, VMOS_LONG=1 adds those marked `long`."""
import os

import pytest

from guest import MACHINES


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only in make test-long")


def pytest_collection_modifyitems(config, items):
    only = os.environ.get("VMOS_ONLY")
    kept, dropped = [], []
    for item in items:
        parameters = getattr(item, "callspec", None) and item.callspec.params or {}
        arch = parameters.get("arch") or (parameters["name"] in MACHINES and MACHINES[parameters["name"]].arch
                                          if isinstance(parameters.get("name"), str) else None)
        drop = (only and arch and arch != only) or ("long" in item.keywords and not os.environ.get("VMOS_LONG"))
        (dropped if drop else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
