# Runs before main.py: a quiet console, and the garbage collected before the heap is in pieces.
import gc

try:
    import esp

    esp.osdebug(None)
except ImportError:
    pass
gc.collect()
gc.threshold(gc.mem_free() // 4)  # bytes allocated between collections
