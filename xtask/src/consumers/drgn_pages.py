"""Reads all memory of the image argv[1] with drgn and holds it against the padded image argv[2]: prints how many
pages are equal, how many drgn has not, and which differ, as JSON."""

import json
import sys

import drgn

PAGE = 4096
STEP = 256 * PAGE

program = drgn.Program()
program.set_core_dump(sys.argv[1])
equal = absent = 0
different = []


def compare(address, expected):
    global equal, absent
    try:
        found = program.read(address, len(expected), physical=True)
    except drgn.FaultError:
        if len(expected) > PAGE:
            for at in range(0, len(expected), PAGE):
                compare(address + at, expected[at : at + PAGE])
        elif any(expected):
            different.append(address)
        else:
            absent += 1
        return
    if found == expected:
        equal += len(expected) // PAGE
    elif len(expected) > PAGE:
        for at in range(0, len(expected), PAGE):
            compare(address + at, expected[at : at + PAGE])
    else:
        different.append(address)


with open(sys.argv[2], "rb") as padded:
    address = 0
    while block := padded.read(STEP):
        compare(address, block)
        address += len(block)
json.dump({"equal": equal, "absent": absent, "different": different}, sys.stdout)
