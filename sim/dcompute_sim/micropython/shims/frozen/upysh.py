# mypy: ignore-errors
# `upysh`: a shell's commands for the prompt. Those without an argument act when they are shown.
import os
import sys

_FOLDER = 0x4000


class _Shown:
    def __init__(self, command):
        self._command = command

    def __call__(self, *args):
        return self._command(*args)

    def __repr__(self):
        return self._command() or ""


def _list(path="."):
    entries = sorted(os.ilistdir(path))
    for name, kind, _, _ in entries:
        if kind == _FOLDER:
            print("    <dir> %s" % name)
    for name, kind, _, size in entries:
        if kind != _FOLDER:
            print("%9d %s" % (size, name))
    room = os.statvfs(path)
    print("\n%dk free" % (room[1] * room[3] // 1024))


def head(name, lines=10):
    with open(name) as file:
        for _ in range(lines):
            line = file.readline()
            if not line:
                break
            sys.stdout.write(line)


def cat(name):
    head(name, 1 << 29)


def cp(source, target):
    try:
        if os.stat(target)[0] & _FOLDER:
            target = target.rstrip("/") + "/" + source
    except OSError:
        pass
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            part = old.read(512)
            if not part:
                break
            new.write(part)


def newfile(name):
    print("Type file contents line by line, finish with EOF (Ctrl+D).")
    with open(name, "w") as file:
        while True:
            try:
                file.write(input() + "\n")
            except EOFError:
                break


def rm(name, recursive=False):
    try:
        if os.stat(name)[0] & _FOLDER and recursive:
            for entry in os.listdir(name):
                rm(name + "/" + entry, True)
            os.rmdir(name)
        else:
            os.remove(name)
    except OSError:
        print("rm of '%s' failed" % name)


cd = os.chdir
mkdir = os.mkdir
mv = os.rename
rmdir = os.rmdir
ls = _Shown(_list)
pwd = _Shown(os.getcwd)
clear = _Shown(lambda: "\x1b[2J\x1b[H")
man = _Shown(
    lambda: (
        "upysh: clear, ls, ls(...), head(...), cat(...), newfile(...), cp('src', 'dest'), mv('old', 'new'), "
        "rm(...), pwd, cd(...), mkdir(...), rmdir(...), man"
    )
)
print(man)
