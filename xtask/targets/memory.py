"""A process with about a GiB of what processes have: texts that differ in numbers, numbers, random bytes, zeros. Prints `ready`
and waits. Its argument is how many MiB."""
import os
import sys

mib = int(sys.argv[1])
texts, numbers, blocks = [], [], []
number = 1
for step in range(mib):
    # A text of about 120 bytes takes twice that with its object; 2,000 of them are about half a MiB.
    for _ in range(2000):
        number = number * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        texts.append(f"GET /accounts/{number % 100000}/orders/{number:016x} 200 {number % 997} ms user-{number % 5000}@example.com")
    numbers.extend(range((1 << 20) + 2000 * step, (1 << 20) + 2000 * (step + 1)))
    # 256 KiB of noise, and as much of zeros that were touched.
    blocks.append(os.urandom(1 << 18))
    zeros = bytearray(1 << 18)
    for at in range(0, len(zeros), 4096):
        zeros[at] = 1
        zeros[at] = 0
    blocks.append(zeros)
texts.append("a needle that stands here but a few times: " + "haystack")
print("ready", flush=True)
sys.stdin.read()
