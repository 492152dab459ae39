# mypy: ignore-errors
# `esp32.Partition`: how the port divides 4 MiB of flash (partitions-4MiBplus.csv), for a build that is not
# updated over the air: it runs from `factory`, has no other to switch to, and says so with ESP-IDF's errors.
import errno

import _board

_ANY = 0xFF
_TABLE = (  # type, subtype, address, bytes, label
    (0, 0, 0x10000, 0x1F0000, "factory"),
    (1, 2, 0x9000, 0x6000, "nvs"),
    (1, 1, 0xF000, 0x1000, "phy_init"),
    (1, 0x81, 0x200000, 0x200000, "vfs"),
)
_BLOCK = 4096
_NO_OTA_DATA = (-0x105, "ESP_ERR_NOT_FOUND")
_NO_APP = (-0x1503, "ESP_ERR_OTA_VALIDATE_FAILED")
_OUTSIDE = (-0x104, "ESP_ERR_INVALID_SIZE")


class Partition:
    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, which, block_size=_BLOCK):
        if isinstance(which, int):
            if which not in (self.BOOT, self.RUNNING):
                raise ValueError
            which = "factory"
        for entry in _TABLE:
            if entry[4] == which:
                self._entry = entry
                self._block_size = block_size
                return
        raise OSError(errno.ENOENT)

    def __repr__(self):
        return "<Partition type=%u, subtype=%u, address=%u, size=%u, label=%s, encrypted=0>" % self._entry

    @staticmethod
    def find(type=TYPE_APP, subtype=_ANY, label=None, block_size=_BLOCK):
        return [
            Partition(entry[4], block_size)
            for entry in _TABLE
            if entry[0] == type and subtype in (_ANY, entry[1]) and label in (None, entry[4])
        ]

    def info(self):
        return self._entry + (False,)

    def readblocks(self, block, buffer, offset=0):
        self._within(block, buffer, offset)
        for at in range(len(buffer)):
            buffer[at] = 0xFF

    def writeblocks(self, block, buffer, offset=0):
        self._within(block, buffer, offset)

    def ioctl(self, command, argument):
        if command in (1, 2, 3):
            return 0
        if command == 4:
            return self._entry[3] // self._block_size
        if command == 5:
            return self._block_size
        if command == 6:
            if self._block_size != _BLOCK:
                return -errno.EINVAL
            self._within(argument, b"", 0)
            return 0

    def set_boot(self):
        raise OSError(*(_NO_APP if self._entry[0] else _NO_OTA_DATA))

    def get_next_update(self):
        raise OSError(errno.ENOENT)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        raise OSError(*_NO_OTA_DATA)

    def _within(self, block, buffer, offset):
        _board.simpler("esp32.Partition")
        if block * self._block_size + offset + len(buffer) > self._entry[3]:
            raise OSError(*_OUTSIDE)
