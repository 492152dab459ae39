# main.py of a board that keeps its program in slots: starts the version that the file `slot` names, and the
# one before it if that does not reach the broker. How is in slot_launcher.py, which is launcher.py of the
# sources: code stays in the heap for as long as the frame above it runs, and this one always does.
import slot_launcher

slot_launcher.choose().run()
