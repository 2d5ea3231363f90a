"""A running Weir of some revision for ops/bench --against: started by that revision's own scripts, told what to do over standard input.

    WEIR_BIN=programs python3 benchhost.py ops/drills-of-that-revision NAME MODEL...

Prints one line of JSON with its port, key and process ids, then answers each command with a line: `pause` (the control plane stops),
`resume` (it starts again, with its process id), `settle` (all usage is shipped). Ends with its standard input.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
from weirlab import Lab, wait_for  # noqa: E402 (of that revision)


def main():
    name, models = sys.argv[2], sys.argv[3:]
    with Lab(name) as lab:
        lab.up(models=models, simulator=["--ledger", "off"], data_plane=["--loops", "2", "--log-level", "warning"])
        plane = lab.data_planes[0]
        print(json.dumps({"port": plane.port, "key": lab.key, "data_plane": plane.pid, "control": lab.control.pid}), flush=True)
        for line in sys.stdin:
            command = line.strip()
            if command == "pause":
                lab.control.stop()
            elif command == "resume":
                lab.control.start()
                lab.control.wait_ready(60)
            elif command == "settle":
                wait_for("the data plane to ship its usage", lambda: lab.outbox_empty(plane), 600, every=0.2)
            print(lab.control.pid, flush=True)


if __name__ == "__main__":
    main()
