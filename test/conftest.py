"""The longest tests go first, and each worker is given one test after the other, so that none has many left when the
others are done. And every run closes with the one line that scripts read: N passed, N failed."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "qemu"))


def pytest_configure(config):
    config.addinivalue_line("markers", "takes(seconds): about as long as that on an idle machine, where it is more than ten")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Else in their order: what shares a fixture stays together."""
    seconds = lambda item: mark.args[0] if (mark := item.get_closest_marker("takes")) else 0
    items.sort(key=seconds, reverse=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler.load import LoadScheduling

    class OneByOne(LoadScheduling):
        """A worker has the test that it runs and the one that comes next, which it must know to keep fixtures."""

        def _send_tests(self, node, num):
            super()._send_tests(node, max(0, min(num, 2 - len(self.node2pending[node]))))

    return OneByOne(config, log)


def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.option.collectonly:
        return
    count = lambda *kinds: sum(len(reporter.stats.get(kind, [])) for kind in kinds)
    print(f"{count('passed')} passed, {count('failed', 'error')} failed")  # what was skipped stands above, with reasons
