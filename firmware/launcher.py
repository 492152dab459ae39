# Which of a board's versions starts; on the flash it is the root's slot_launcher.py, imported by main.py.
#
# /slot says "<current> <fallback> <tries>". A slot is a folder (a, b) that holds a whole program; its
# version.json is written last. "." is the flash's root with the main_before.py that was there before slots.
# While there is a fallback ("-": none) the current one is on trial: it has that many starts left, and in each
# of them `confirm_s` seconds until a `ready` of it is acknowledged.
#
# Each change is one rename, and comes before what it is about: wherever the power is cut, the board boots.
# FAT renames in steps, and what a cut between them leaves undone boot.py does before this is imported.
#
# Rejected: the chip's partitions (they hold MicroPython itself, a megabyte each; other ports have none); a
# copy of the last version to put back (the copying would meet the very power cut that it is for); the trial's
# state in the version's own files (two files cannot change in one step); a count of starts in RTC memory (a
# watchdog keeps it, a power cut does not, and a version that browns out would be tried for ever).

import gc
import os
import sys

import machine


class Launcher:
    # As the module `launcher`: which version runs, and how to make it stay or another one start.

    failed = None

    def __init__(self, root):
        self.root = root

    def folder(self, slot):
        return self.root if slot == "." else self.root + slot + "/"

    def confirm(self):
        # The version stays.
        self.store(self.current, "-", 0)
        self.trial = False

    def store(self, current, fallback, tries):
        # The one step that switches. OSError if the flash is full: nothing has changed then.
        self.write("slot", "%s %s %d\n" % (current, fallback, tries))

    def write(self, name, text):
        # Replace a small file of the flash's root, whole or not at all.
        path = self.root + name
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def run(self):
        sys.modules["launcher"] = self
        os.chdir(self.folder(self.current))  # sys.path begins with "", the working directory
        gc.collect()
        try:
            execfile(  # noqa: F821
                "main_before.py" if self.current == "." else "main.py", {"__name__": "__main__"}
            )
        except KeyboardInterrupt:  # somebody wants the prompt
            self.trial = False
            raise
        except BaseException as error:
            if not self.trial:
                raise
            sys.print_exception(error)
            machine.reset()


def choose():
    # The launcher with the version that starts; what it took to find out is forgotten.
    launcher = Launcher(os.getcwd().rstrip("/") + "/")
    launcher.current, launcher.fallback, tries = _find(launcher.root)
    launcher.version, launcher.confirm_s, launcher.release = _described(launcher.root, launcher.current)
    if tries <= 0 and _described(launcher.root, launcher.fallback):
        _fall_back(launcher)
    launcher.trial = launcher.fallback != "-"
    if launcher.trial:
        launcher.store(launcher.current, launcher.fallback, max(0, tries - 1))
        import _thread

        _thread.start_new_thread(_guard, (launcher,))
    elif not launcher.failed:
        try:
            launcher.failed = _read(launcher.root + "failed")[33:]
        except OSError:
            pass
    del sys.modules["slot_launcher"]
    for name in ("choose", "_find", "_described", "_fall_back", "digest_of", "_read", "_guard"):
        del globals()[name]
    return launcher


def _find(root):
    try:
        current, fallback, tries = _read(root + "slot").split()
        if _described(root, current):
            return current, fallback, int(tries)
        if _described(root, fallback):
            return fallback, "-", 0
    except (OSError, ValueError):
        pass
    for slot in ("a", "b", "."):
        if _described(root, slot):
            return slot, "-", 0
    raise OSError("no slot with a version.json, and no main_before.py")


def _described(root, slot):
    # (version, confirm_s, release) of a slot that is whole; None if it is not.
    try:
        if slot == ".":
            os.stat(root + "main_before.py")
            return None, 120, 0
        import json

        about = json.loads(_read(root + slot + "/version.json"))
        return about["version"], about.get("confirm_s", 120), about.get("release", 0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _fall_back(launcher):
    failed, launcher.failed = launcher.current, launcher.version
    print("launcher: version %s did not come up, back to the one before" % launcher.failed)
    launcher.write("failed", digest_of(launcher.folder(failed)) + " " + str(launcher.failed))
    launcher.store(launcher.fallback, "-", 0)
    launcher.current, launcher.fallback = launcher.fallback, "-"
    about = _described(launcher.root, launcher.current) or (None, 120, 0)
    launcher.version, launcher.confirm_s, launcher.release = about
    try:
        os.remove(launcher.folder(failed) + "version.json")
    except OSError:
        pass


def digest_of(folder):
    # What a master calls the version in this slot by.
    import hashlib
    from binascii import hexlify

    try:
        return hexlify(hashlib.sha256(_read(folder + "version.json")).digest()[:16]).decode()
    except OSError:
        return "0" * 32


def _read(path):
    with open(path) as file:
        return file.read()


def _guard(launcher):
    import time

    time.sleep(launcher.confirm_s)
    if launcher.trial:
        print("launcher: version %s was not ready within %d s" % (launcher.version, launcher.confirm_s))
        machine.reset()
