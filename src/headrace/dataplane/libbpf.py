"""A thin binding of libbpf.so.1 (>= 1.0): what the loader needs, errors as KernelError."""

import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.model import KernelError, PortMode, UnavailableError

XDP_FLAGS_SKB_MODE = 1 << 1
XDP_FLAGS_DRV_MODE = 1 << 2
XDP_MODES = {1: PortMode.NATIVE, 2: PortMode.GENERIC}  # XDP_ATTACHED_DRV, XDP_ATTACHED_SKB

_BPF_XDP = 37  # enum bpf_attach_type
_BPF_PROG_TYPE_XDP = 6
_BPF_F_XDP_HAS_FRAGS = 1 << 5
_BPF_ANY = 0
_LOG_BYTES = 64 * 1024

_PrintFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_SampleFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class MapInfo(ctypes.Structure):
    """struct bpf_map_info (uapi/linux/bpf.h), as far as we read it."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    ]


@dataclass(frozen=True, slots=True)
class MapShape:
    """What makes two maps the same kind of map; the sizes in bytes."""

    type: int
    key_size: int
    value_size: int
    map_flags: int
    max_entries: int


class _LinkInfo(ctypes.Structure):
    """struct bpf_link_info with the XDP member of its union."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),  # the union after it holds 64-bit members
        ("ifindex", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 60),
    ]


class _ProgLoadOpts(ctypes.Structure):
    """struct bpf_prog_load_opts, as far as we set it."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_int),
        ("prog_btf_fd", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    ]


class _LinkCreateOpts(ctypes.Structure):
    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("iter_info", ctypes.c_void_p),
        ("iter_info_len", ctypes.c_uint32),
        ("target_btf_id", ctypes.c_uint32),
        ("union", ctypes.c_uint64 * 4),
    ]


class _LinkUpdateOpts(ctypes.Structure):
    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("old_prog_fd", ctypes.c_uint32),
    ]


class _XdpQueryOpts(ctypes.Structure):
    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("prog_id", ctypes.c_uint32),
        ("drv_prog_id", ctypes.c_uint32),
        ("hw_prog_id", ctypes.c_uint32),
        ("skb_prog_id", ctypes.c_uint32),
        ("attach_mode", ctypes.c_uint8),
    ]


class _TestRunOpts(ctypes.Structure):
    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


class _XdpMd(ctypes.Structure):
    """struct xdp_md (uapi/linux/bpf.h)."""

    _fields_ = [
        ("data", ctypes.c_uint32),
        ("data_end", ctypes.c_uint32),
        ("data_meta", ctypes.c_uint32),
        ("ingress_ifindex", ctypes.c_uint32),
        ("rx_queue_index", ctypes.c_uint32),
        ("egress_ifindex", ctypes.c_uint32),
    ]


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise UnavailableError(f"libbpf.so.1 is missing ({error}); install libbpf1") from error
    pointer = ctypes.c_void_p
    for name, arguments in {
        "bpf_object__open_file": [ctypes.c_char_p, pointer],
        "bpf_object__find_map_by_name": [pointer, ctypes.c_char_p],
        "bpf_object__find_program_by_name": [pointer, ctypes.c_char_p],
        "ring_buffer__new": [ctypes.c_int, _SampleFn, pointer, pointer],
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, pointer
    for name in (
        *("bpf_object__load", "bpf_object__close", "bpf_program__fd", "bpf_map__fd"),
        *("bpf_map__type", "bpf_map__key_size", "bpf_map__value_size", "bpf_map__map_flags"),
        *("bpf_map__max_entries", "ring_buffer__consume", "ring_buffer__epoll_fd"),
        "ring_buffer__free",
    ):
        getattr(library, name).argtypes = [pointer]
    library.bpf_map__set_max_entries.argtypes = [pointer, ctypes.c_uint32]
    library.bpf_map__reuse_fd.argtypes = [pointer, ctypes.c_int]
    return library


_BATCH = 4096  # entries read at once; a bucket of a hash map holds far fewer


def _checked(result: int, operation: str, detail: str = "") -> int:
    if result < 0:
        raise KernelError(operation, -result if result != -1 else ctypes.get_errno(), detail)
    return result


@contextmanager
def _log() -> Iterator[list[str]]:
    """Collect what libbpf prints, to be shown only with an error."""
    lines: list[str] = []
    libc = ctypes.CDLL(None)

    def keep(level: int, pattern: bytes, arguments: int) -> int:
        buffer = ctypes.create_string_buffer(_LOG_BYTES)
        libc.vsnprintf(buffer, ctypes.c_size_t(_LOG_BYTES), pattern, ctypes.c_void_p(arguments))
        if level <= 1:  # warnings and information; not the debug chatter
            lines.append(buffer.value.decode(errors="replace").rstrip())
        return 0

    callback = _PrintFn(keep)
    library = _library()
    library.libbpf_set_print.restype = ctypes.c_void_p
    before = library.libbpf_set_print(callback)
    try:
        yield lines
    finally:
        library.libbpf_set_print(ctypes.c_void_p(before))


class BpfObject:
    """An object file: opened, adjusted, loaded. Its descriptors live until `close`."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise UnavailableError(f"{path} is missing: run `make build`")
        self._path = path
        with _log() as lines:
            self._object = _library().bpf_object__open_file(str(path).encode(), None)
        if not self._object:
            raise KernelError(f"open {path.name}", ctypes.get_errno(), "\n".join(lines))

    def resize_map(self, name: str, entries: int) -> None:
        """Set a map's size; only before `load`."""
        _checked(_library().bpf_map__set_max_entries(self._map(name), entries), f"resize {name}")

    def reuse_map(self, name: str, fd: int) -> None:
        """Use an existing map in place of the object's own; only before `load`."""
        _checked(_library().bpf_map__reuse_fd(self._map(name), fd), f"reuse map {name}")

    def map_shape(self, name: str) -> MapShape:
        """A map as the object declares it."""
        library, declared = _library(), self._map(name)
        return MapShape(
            library.bpf_map__type(declared),
            library.bpf_map__key_size(declared),
            library.bpf_map__value_size(declared),
            library.bpf_map__map_flags(declared),
            library.bpf_map__max_entries(declared),
        )

    def load(self) -> None:
        """Create the maps and have the kernel verify the programs."""
        with _log() as lines:
            result = _library().bpf_object__load(self._object)
        _checked(result, f"load {self._path.name}", "\n".join(lines))

    def map_fd(self, name: str) -> int:
        """A duplicate of a loaded map's descriptor, the caller's to close."""
        return os.dup(_checked(_library().bpf_map__fd(self._map(name)), f"map {name}"))

    def program_fd(self, name: str) -> int:
        """A duplicate of a loaded program's descriptor, the caller's to close."""
        program = _library().bpf_object__find_program_by_name(self._object, name.encode())
        if not program:
            raise KernelError(f"program {name} of {self._path.name}", ctypes.get_errno())
        return os.dup(_checked(_library().bpf_program__fd(program), f"program {name}"))

    def close(self) -> None:
        """Close the object; what was pinned or attached lives on."""
        if self._object:
            _library().bpf_object__close(self._object)
            self._object = None

    def _map(self, name: str) -> int:
        found: int | None = _library().bpf_object__find_map_by_name(self._object, name.encode())
        if not found:
            raise KernelError(f"map {name} of {self._path.name}", ctypes.get_errno())
        return found


class RingBuffer:
    """The reader of a ring buffer map. A map has one reader."""

    def __init__(self, map_fd: int, limit: int) -> None:
        """`limit` is how many records one `read` takes: they may come faster than it is done."""
        self._limit = limit
        self._records: list[bytes] = []
        self._callback = _SampleFn(self._keep)  # the library holds no reference
        self._ring = _library().ring_buffer__new(map_fd, self._callback, None, None)
        if not self._ring:
            raise KernelError("read a ring buffer", ctypes.get_errno())

    def read(self) -> list[bytes]:
        """What is in the ring, oldest first, as far as the limit; it is not there any more then."""
        result = _library().ring_buffer__consume(self._ring)
        if result != -errno.ENOBUFS:  # what `_keep` says at the limit
            _checked(result, "read a ring buffer")
        records, self._records = self._records, []
        return records

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read."""
        return _checked(_library().ring_buffer__epoll_fd(self._ring), "watch a ring buffer")

    def close(self) -> None:
        """Let go of the ring; what is in it stays for the next reader."""
        if self._ring:
            _library().ring_buffer__free(self._ring)
            self._ring = None

    def _keep(self, context: int | None, data: int, size: int) -> int:  # noqa: ARG002 (libbpf's)
        self._records.append(ctypes.string_at(data, size))
        return -errno.ENOBUFS if len(self._records) >= self._limit else 0


def pin(fd: int, path: Path) -> None:
    """Pin a map, program or link in a bpffs."""
    _checked(_library().bpf_obj_pin(fd, str(path).encode()), f"pin {path}")


def open_pin(path: Path) -> int:
    """The descriptor of what is pinned at `path`."""
    return _checked(_library().bpf_obj_get(str(path).encode()), f"open {path}")


def load_xdp_instructions(instructions: bytes) -> int:
    """Load an XDP program that takes packets in fragments; its descriptor."""
    options = _ProgLoadOpts(
        sz=ctypes.sizeof(_ProgLoadOpts),
        expected_attach_type=_BPF_XDP,
        prog_flags=_BPF_F_XDP_HAS_FRAGS,
    )
    result = _library().bpf_prog_load(
        _BPF_PROG_TYPE_XDP,
        b"headrace_test",
        b"GPL",
        instructions,
        ctypes.c_size_t(len(instructions) // 8),
        ctypes.byref(options),
    )
    return _checked(result, "load a program")


def create_xdp_link(program_fd: int, ifindex: int, flags: int) -> int:
    """Attach a program to an interface; the link's descriptor."""
    options = _LinkCreateOpts(sz=ctypes.sizeof(_LinkCreateOpts), flags=flags)
    result = _library().bpf_link_create(program_fd, ifindex, _BPF_XDP, ctypes.byref(options))
    return _checked(result, f"attach XDP to interface {ifindex}")


def update_link(link_fd: int, program_fd: int) -> None:
    """Replace a link's program; no packet sees none."""
    options = _LinkUpdateOpts(sz=ctypes.sizeof(_LinkUpdateOpts))
    result = _library().bpf_link_update(link_fd, program_fd, ctypes.byref(options))
    _checked(result, "replace the program of a link")


def link_ifindex(link_fd: int) -> int:
    """The interface of an XDP link; 0 when its interface is gone."""
    info = _LinkInfo()
    size = ctypes.c_uint32(ctypes.sizeof(info))
    result = _library().bpf_obj_get_info_by_fd(link_fd, ctypes.byref(info), ctypes.byref(size))
    _checked(result, "read a link")
    return int(info.ifindex)


def map_info(map_fd: int) -> MapInfo:
    """A map's type, sizes and name."""
    info = MapInfo()
    size = ctypes.c_uint32(ctypes.sizeof(info))
    result = _library().bpf_obj_get_info_by_fd(map_fd, ctypes.byref(info), ctypes.byref(size))
    _checked(result, "read a map's shape")
    return info


def xdp_mode(ifindex: int) -> int:
    """One of XDP_MODES, something else where hardware runs it, or 0 for no program."""
    options = _XdpQueryOpts(sz=ctypes.sizeof(_XdpQueryOpts))
    result = _library().bpf_xdp_query(ifindex, 0, ctypes.byref(options))
    _checked(result, f"query XDP of interface {ifindex}")
    return int(options.attach_mode)


def possible_cpus() -> int:
    """How many values a per-CPU map has for a key."""
    return _checked(_library().libbpf_num_possible_cpus(), "count the CPUs")


def lookup(map_fd: int, key: bytes, value: ctypes.Array[ctypes.c_char]) -> bool:
    """Read one entry into `value`; False when there is none."""
    result = _library().bpf_map_lookup_elem(map_fd, key, value)
    if result == -2:  # ENOENT
        return False
    _checked(result, "look up a map entry")
    return True


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Write one entry."""
    result = _library().bpf_map_update_elem(map_fd, key, value, ctypes.c_uint64(_BPF_ANY))
    _checked(result, "write a map entry")


def delete(map_fd: int, key: bytes) -> None:
    """Remove one entry; one that is not there is no error."""
    result = _library().bpf_map_delete_elem(map_fd, key)
    if result != -2:
        _checked(result, "remove a map entry")


def next_key(map_fd: int, key: bytes | None, following: ctypes.Array[ctypes.c_char]) -> bool:
    """Write the key after `key` (None: the first) into `following`; False at the end."""
    result = _library().bpf_map_get_next_key(map_fd, key, following)
    if result == -2:
        return False
    _checked(result, "walk a map")
    return True


def lookup_all(map_fd: int, *, copies: int = 1) -> tuple[bytes, bytes]:
    """The keys and the values of a map, each in a row; what changes meanwhile may be missed.

    A map that has its values per CPU gives as many copies of each, in the CPUs' order.
    """
    shape = map_info(map_fd)
    value_size = shape.value_size * copies
    room = min(int(shape.max_entries), _BATCH)
    keys = ctypes.create_string_buffer(room * shape.key_size)
    values = ctypes.create_string_buffer(room * value_size)
    cursor = ctypes.create_string_buffer(max(shape.key_size, 4))
    found_keys, found_values = bytearray(), bytearray()
    start, result = None, 0
    while result != -2:  # ENOENT: these were the last
        count = ctypes.c_uint32(room)
        result = _library().bpf_map_lookup_batch(
            map_fd, start, cursor, keys, values, ctypes.byref(count), None
        )
        if result != -2:
            _checked(result, "read a map")
        found_keys += bytes(keys.raw[: count.value * shape.key_size])
        found_values += bytes(values.raw[: count.value * value_size])
        start = cursor
    return bytes(found_keys), bytes(found_values)


def run_program(
    program_fd: int, packet: bytes, *, ifindex: int = 0, repeat: int = 1
) -> tuple[int, bytes]:
    """Run a program on a packet (BPF_PROG_TEST_RUN): the XDP code and the packet after.

    A repetition gets the packet as the one before it left it.
    `ifindex` is the interface the packet is said to arrive on; it must be up and have a queue 0.
    """
    out = ctypes.create_string_buffer(len(packet) + 256)
    context = _XdpMd(data_end=len(packet), ingress_ifindex=ifindex)
    options = _TestRunOpts(
        sz=ctypes.sizeof(_TestRunOpts),
        data_in=ctypes.cast(ctypes.c_char_p(packet), ctypes.c_void_p),
        data_out=ctypes.cast(out, ctypes.c_void_p),
        data_size_in=len(packet),
        data_size_out=len(out),
        repeat=repeat,
    )
    if ifindex:
        options.ctx_in = ctypes.cast(ctypes.byref(context), ctypes.c_void_p)
        options.ctx_size_in = ctypes.sizeof(context)
    result = _library().bpf_prog_test_run_opts(program_fd, ctypes.byref(options))
    _checked(result, "run a program on a packet")
    return options.retval, out.raw[: options.data_size_out]
