"""Closes every run of the tests with the one line that scripts read: N passed, N failed."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "qemu"))


def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.option.collectonly:
        return
    count = lambda *kinds: sum(len(reporter.stats.get(kind, [])) for kind in kinds)
    print(f"{count('passed')} passed, {count('failed', 'error')} failed")  # what was skipped stands above, with reasons
