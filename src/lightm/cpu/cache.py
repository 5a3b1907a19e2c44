"""`kernel`: numba.njit for the kernels of this package, whose cache on disk may be stale, damaged, full or missing.

numba's own cache looks for changes only in the file of the function itself, and lets every error of the disk end the
program. Here a kernel is compiled again when any file changes that its machine code comes from, and whatever is wrong
with the cache costs the time to compile, and a warning.
"""

import hashlib
import pickle
import warnings
from functools import cache
from pathlib import Path

from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile


def kernel(function):
    """`numba.njit` without the GIL, cached on disk where that can be."""
    compiled = njit(nogil=True, boundscheck=False, error_model="numpy")(function)
    if not config.DISABLE_JIT:  # with it, `compiled` is the function itself
        try:
            compiled._cache = _Cache(function)
        except RuntimeError:  # there is no folder to which numba could write
            pass
    return compiled


class _Cache(FunctionCache):
    """numba's cache of a function, which is dispensable: on any error the kernel is compiled and not kept."""

    def __init__(self, function):
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), _sources())
        self._cache_file = _CheckedFile(self._cache_path, f"{self._impl.filename_base}-checked", stamp)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # of a damaged file anything may come
            _warn("can't be read", self.cache_path, error)
            try:
                self.flush()  # otherwise the broken index would keep the new code from being saved
            except OSError:
                self.disable()
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn("can't be written", self.cache_path, error)


class _CheckedFile(IndexDataCacheFile):
    """numba's index and data files, each behind a digest: damaged machine code would end the process."""

    def _load_index(self):
        try:
            version, data = self._read(self._index_path)
        except FileNotFoundError:
            return {}
        if version != self._version:  # of numba; what another one pickled may not be readable
            return {}
        stamp, overloads = pickle.loads(data)
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads):
        self._write(self._index_path, (self._version, self._dump((self._source_stamp, overloads))))

    def _load_data(self, name):
        return self._read(self._data_path(name))

    def _save_data(self, name, data):
        self._write(self._data_path(name), data)

    def _read(self, path):
        content = Path(path).read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            raise ValueError(f"{path} is damaged")
        return pickle.loads(content[32:])

    def _write(self, path, content):
        data = self._dump(content)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(data).digest() + data)


@cache
def _sources() -> tuple:
    """A stamp of the files that kernels are compiled from: those of this folder, and those of CPU kernels beside it."""
    files = {file for kind in ("cpu/*.py", "*/*cpu*.py") for file in Path(__file__).parents[1].glob(kind)}
    return tuple((file.name, file.stat().st_mtime, file.stat().st_size) for file in sorted(files))


_warned: set[str] = set()


def _warn(problem: str, folder: str, error: Exception) -> None:
    """Warns once for each kind of problem, not for each kernel."""
    if problem in _warned:
        return
    _warned.add(problem)
    reason = getattr(error, "strerror", None) or "it is damaged"
    warnings.warn(
        f"numba's cache in {folder} {problem} ({reason}), so kernels are compiled again, which takes seconds; if this "
        "comes back at every start, free some space or set NUMBA_CACHE_DIR to another folder.",
        stacklevel=2,
    )
