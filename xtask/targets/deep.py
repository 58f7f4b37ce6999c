# A known chain of calls in two threads, each of which ends in a wait.
import threading
import time


def gamma_waits(ready):
    if ready:
        print("ready", flush=True)
    time.sleep(36000)


def beta_calls(depth, ready):
    if depth:
        beta_calls(depth - 1, ready)
    else:
        gamma_waits(ready)


threading.Thread(target=beta_calls, args=(3, False), daemon=True).start()
time.sleep(0.3)
beta_calls(5, True)
