#!/usr/bin/python3
"""Stands on PATH as gcloud, aws or az: writes down how it was called and plays recorded replies.

VMOS_FAKE names a folder with replies.json, [[pattern, [[status, output, error], ..]], ..]: the first pattern that is
found in the words of the call (joined by blanks) gives the reply, its last one again and again. A call that no pattern
fits is status 99, and no test can pass with it. calls.jsonl gets one list of words a call.
"""
import base64
import hashlib
import json
import os
import re
import sys
from pathlib import Path

folder = Path(os.environ["VMOS_FAKE"])
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open(folder / "calls.jsonl", "a") as file:
    file.write(json.dumps(words) + "\n")
if "--block-data" in words:  # as EBS does: the checksum is that of the data
    data = Path(words[words.index("--block-data") + 1]).read_bytes()
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    if len(data) != 524288 or digest != words[words.index("--checksum") + 1]:
        sys.exit("InvalidBlockData: the checksum is not the data's")
    (folder / "blocks").mkdir(exist_ok=True)
    (folder / "blocks" / words[words.index("--block-index") + 1]).write_bytes(data)
for number, (pattern, replies) in enumerate(json.loads((folder / "replies.json").read_text())):
    if re.search(pattern, " ".join(words)):
        count = folder / f"count{number}"
        turn = int(count.read_text()) if count.exists() else 0
        count.write_text(str(turn + 1))
        status, output, error = replies[min(turn, len(replies) - 1)]
        sys.stdout.write(output)
        sys.stderr.write(error)
        sys.exit(status)
print(f"fake: nothing recorded for: {' '.join(words)}", file=sys.stderr)
sys.exit(99)
