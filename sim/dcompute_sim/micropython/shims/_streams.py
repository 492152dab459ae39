# mypy: ignore-errors
# What files that are written to have in common: what the port's C side asks of a stream, and `with`.
import io


class FileStream(io.IOBase):
    def ioctl(self, request, argument):
        # 1 is flush, 4 is close.
        if request == 4:
            self.close()
        elif request == 1:
            self.flush()
        return 0 if request in (1, 4) else -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
