"""tools/figures: the table is measured anew, and what people wrote around it stays."""
import importlib.machinery
import importlib.util
import json
from pathlib import Path

LOADER = importlib.machinery.SourceFileLoader("figures_tool", str(Path(__file__).resolve().parents[2] / "tools/figures"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("figures_tool", LOADER))
LOADER.exec_module(tool)

OLD = f"""# Figures

Measured at commit abc123 on 2026-01-02, under TCG.

{tool.HEAD}| b: gone | 1 KiB |  |
| c for ten minutes: runs | 5 runs |  |
| d: runs, 2026-01-01 | 6 runs |  |

## More

at commit def456 on 2026-01-02

| a | b |
"""


def test_page(tmp_path):
    (tmp_path / "1.jsonl").write_text(
        json.dumps({"what": "a: new", "value": 1.5, "unit": "million", "limit": "under 2"}) + "\n" +
        json.dumps({"what": "d", "value": 7, "unit": "KiB", "limit": ""}) + "\n")
    wanted = OLD.replace("abc123 on 2026-01-02", "ffff on 2026-03-04").replace(
        "| b: gone | 1 KiB |  |\n", "| a: new | 1.50 million | under 2 |\n").replace(
        "| d: runs,", "| d | 7 KiB |  |\n| d: runs,")
    assert tool.page(OLD, tool.measured(tmp_path), "ffff", "2026-03-04") == wanted


def test_the_page_that_there_is():
    old = (tool.ROOT / "docs/figures.md").read_text()
    assert "## Processes, next to Linux" in tool.page(old, {}, "ffff", "2026-03-04")
