# Runs before main.py: what a power cut left half done, a quiet console, and the garbage collected before the
# heap is in pieces.
import gc
import os

# FAT replaces a file by removing it first. Where the power was cut after that, the new one has all its bytes
# under its other name. (A deploy to FAT adds these lines to a boot.py of your own.)
for name in ("slot", "slot_launcher.py", "main.py"):
    if name + ".new" in os.listdir() and name not in os.listdir() and os.stat(name + ".new")[6]:
        os.rename(name + ".new", name)

try:
    import esp

    esp.osdebug(None)
except ImportError:
    pass
gc.collect()
gc.threshold(gc.mem_free() // 4)  # bytes allocated between collections
