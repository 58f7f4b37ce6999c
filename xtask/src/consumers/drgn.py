"""What drgn finds in the image argv[1] with the kernel argv[2]: its release, its tasks, and where it crashed, as JSON."""

import json
import sys

import drgn
from drgn.helpers.linux.pid import for_each_task

program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
tasks = [
    {"pid": task.pid.value_(), "comm": task.comm.string_().decode(errors="replace")}
    for task in for_each_task(program)
]
try:
    crashed = [frame.name or "" for frame in program.crashed_thread().stack_trace()]
except (LookupError, ValueError):
    crashed = []
release = program["init_uts_ns"].name.release.string_().decode()
json.dump({"release": release, "tasks": tasks, "crashed": crashed}, sys.stdout)
