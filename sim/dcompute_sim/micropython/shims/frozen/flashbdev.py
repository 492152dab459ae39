# mypy: ignore-errors
# The block device that is the board's file system.
from esp32 import Partition

bdev = Partition.find(Partition.TYPE_DATA, label="vfs")[0]
