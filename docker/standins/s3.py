"""moto's S3 server on port 9000. Each request that changes something is on /data, and done again after a restart.

moto keeps its objects in memory and can record what it was asked; real stores keep objects on disk.
"""

import json
import os
import threading
from pathlib import Path

RECORD = Path("/data/requests.jsonl")
os.environ.update(MOTO_ENABLE_RECORDING="true", MOTO_RECORDER_FILEPATH=str(RECORD))

from moto.moto_api import recorder  # noqa: E402  (reads the environment when it is imported)
from moto.server import ThreadedMotoServer  # noqa: E402


def changes(lines: list[str]) -> list[str]:
    """The recorded requests that change something; a last line that a kill cut off is none."""
    kept = []
    for line in lines:
        try:
            request = json.loads(line)
        except ValueError:
            continue
        if request["method"] not in ("GET", "HEAD"):
            kept.append(line)
    return kept


def main() -> None:
    if RECORD.exists():
        RECORD.write_text("".join(changes(RECORD.read_text().splitlines(keepends=True))))
        before = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        before.start()  # nobody else is to see the store half filled
        recorder.replay_recording(target_host="http://{}:{}".format(*before.get_host_and_port()))
        before.stop()
    ThreadedMotoServer(ip_address="0.0.0.0", port=9000, verbose=False).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
