"""smdebug's own reader of debughookconfig.json, in a process of its own: an oracle for ours.

Run as a script with the file's path, it prints what smdebug makes of it: importing smdebug takes
seconds, warns, and writes to stdout.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

STEPS = 60


def as_smdebug_reads(path: Path) -> dict[str, Any]:
    """Collection -> its regexes, its reductions, and the first saved steps by mode."""
    done = subprocess.run(
        [sys.executable, __file__, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _read(path: str) -> dict[str, Any]:
    from smdebug.core.collection_manager import CollectionManager
    from smdebug.core.json_config import add_collections_to_manager, collect_hook_config_params
    from smdebug.core.modes import ModeKeys

    given = json.loads(Path(path).read_text())
    manager = CollectionManager()
    add_collections_to_manager(manager, given, collect_hook_config_params(given))
    return {
        name: {
            "regex": list(collection.include_regex),
            "reductions": [
                *collection.reduction_config.reductions,
                *(f"abs_{one}" for one in collection.reduction_config.abs_reductions),
                *(f"{one}_norm" for one in collection.reduction_config.norms),
            ]
            if collection.reduction_config
            else [],
            "steps": {
                mode.name: [
                    step
                    for step in range(STEPS)
                    if collection.save_config.should_save_step(mode, step)
                ]
                for mode in (ModeKeys.TRAIN, ModeKeys.EVAL)
            },
        }
        for name, collection in manager.collections.items()
        if name in {one["CollectionName"] for one in given["CollectionConfigurations"]}
    }


if __name__ == "__main__":
    print(json.dumps(_read(sys.argv[1])))
