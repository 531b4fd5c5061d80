"""Changes that keep the outer form of an input, so that what is inside it is reached."""

from __future__ import annotations

import copy
import json
import random
import tarfile
from collections.abc import Callable
from typing import Any

Bytes = Callable[[bytes, int], bytes]
"""Any change of bytes, up to a size."""

BLOCK, CARD = 512, 80
_MAX_DEPTH = 60
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e308, 2**63, 10**400, "", "x", "nan", "1e999", "\ud800", "é", "2"),
    *([], {}, [[]], {"": 0}, float("nan"), float("inf"), "x" * 1000),
)


# ---------------------------------------------------------------------------------------------------- tar


def with_checksum(block: bytes) -> bytes:
    """A header block whose checksum is right."""
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(blank) + block[156:]


def is_header(block: bytes) -> bool:
    return len(block) == BLOCK and block[257:262] == b"ustar"


def _header(choice: random.Random) -> bytes:
    info = tarfile.TarInfo(
        choice.choice(("a", "a/b", "../x", "/x", "é", "A", "././@PaxHeader", "a\nb", "x" * 99))
    )
    info.type = choice.choice([bytes([code]) for code in b"0\x00123456 7LKSxgXDMNV"])
    info.size = choice.choice((0, 1, 511, 512, 513, 1 << 20, (8 << 30) - 1, 1 << 40))
    info.linkname = choice.choice(("", "/etc/passwd"))
    return info.tobuf(tarfile.GNU_FORMAT)[-BLOCK:]


def _pax(choice: random.Random, mutate: Bytes) -> bytes:
    keys = (
        "path",
        "size",
        "mtime",
        "linkpath",
        "hdrcharset",
        "GNU.sparse.major",
        "GNU.sparse.map",
        "comment",
    )
    values = ("a/b", "5", "-5", "1e9", "BINARY", "1", "0,1", "é", "..", "9" * 30, "x" * 300)
    content = b""
    for _ in range(choice.randint(1, 4)):
        record = f" {choice.choice(keys)}={choice.choice(values)}\n".encode()
        length = len(record) + len(str(len(record) + 2))
        content += str(length).encode() + record
    if choice.random() < 0.3:
        content = mutate(content, 2000)
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = choice.choice((b"x", b"g")), len(content)
    return info.tobuf(tarfile.GNU_FORMAT)[-BLOCK:] + content + bytes(-len(content) % BLOCK)


def change_tar(data: bytes, max_size: int, seed: int, mutate: Bytes) -> bytes:
    """Change blocks of a tar; headers get a checksum that is right, most of the time."""
    choice = random.Random(seed)
    blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)] or [b""]
    for _ in range(choice.randint(1, 3)):
        place = choice.randrange(len(blocks))
        action = choice.random()
        if action < 0.4:
            blocks[place] = mutate(blocks[place], BLOCK)[:BLOCK].ljust(BLOCK, b"\0")
            if is_header(blocks[place]) and choice.random() < 0.95:
                blocks[place] = with_checksum(blocks[place])
        elif action < 0.6:
            blocks.insert(place, _header(choice))
        elif action < 0.75:
            blocks.insert(place, _pax(choice, mutate))
        elif action < 0.85 and len(blocks) > 1:
            del blocks[place]
        else:
            blocks.insert(place, choice.choice(blocks))
    return b"".join(blocks)[:max_size]


# --------------------------------------------------------------------------------------------------- JSON


def change_json(data: bytes, max_size: int, seed: int, mutate: Bytes) -> bytes:
    """Change JSON as a tree, or its text; a first line that is none stays."""
    choice = random.Random(seed)
    name, newline, text = data.partition(b"\n") if not data.startswith((b"{", b"[")) else (b"", b"", data)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return mutate(data, max_size)
    if choice.random() < 0.2:
        return (name + newline + mutate(text, max(1, max_size - len(name) - 1)))[:max_size]
    for _ in range(choice.randint(1, 3)):
        tree = _changed(tree, choice, 0)
    return (name + newline + json.dumps(tree, separators=(",", ":")).encode())[:max_size]


def _changed(tree: Any, choice: random.Random, depth: int) -> Any:
    if not isinstance(tree, dict | list) or not tree or depth > _MAX_DEPTH or choice.random() < 0.1:
        return copy.deepcopy(choice.choice((*_VALUES, [tree], {"x": tree})))
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = choice.choice(keys)
    action = choice.random()
    if action < 0.1:
        del tree[key]
    elif action < 0.2 and isinstance(tree, dict):
        tree[choice.choice(("", "x", "0", "-1", "02", key * 2))] = copy.deepcopy(tree[key])
    elif action < 0.2:
        tree.append(copy.deepcopy(tree[key]))
    elif action < 0.3:
        tree[key] = copy.deepcopy(tree[choice.choice(keys)])
    else:
        tree[key] = _changed(tree[key], choice, depth + 1)
    return tree


# --------------------------------------------------------------------------------------------------- FITS


def change_cards(data: bytes, max_size: int, seed: int, mutate: Bytes) -> bytes:
    """Change the cards of a FITS header, or of a file; what follows stays where it is."""
    choice = random.Random(seed)
    end = data.find(b"END".ljust(CARD))
    head, tail = (data[:end], data[end:]) if end >= 0 else (data, b"")
    lines = [head[start : start + CARD] for start in range(0, len(head), CARD)] or [b""]
    place = choice.randrange(len(lines))
    action = choice.random()
    if action < 0.4:
        lines[place] = mutate(lines[place], CARD)[:CARD].ljust(CARD)
    elif action < 0.7:
        values = ("1", "-1", "0", "999999999999", "1E400", "'x'", "T", "abc", "2.5", "(1, 2)", "''", "'&'")
        lines[place] = (lines[place][:10] + choice.choice(values).rjust(20).encode()).ljust(CARD)
    elif action < 0.8 and len(lines) > 1:
        del lines[place]
    elif action < 0.9:
        lines.insert(place, choice.choice(lines))
    else:
        tail = mutate(tail, len(tail) + CARD)
    changed = b"".join(lines)
    if end >= 0 and len(changed) != end:
        # The header ends with a block.
        size = (len(changed) + CARD + 2879) // 2880 * 2880
        rest = data[(end + CARD + 2879) // 2880 * 2880 :]
        return ((changed + b"END").ljust(size) + rest)[:max_size]
    return (changed + tail)[:max_size]


MUTATORS: dict[str, Callable[[bytes, int, int, Bytes], bytes]] = {
    "archive_tar": change_tar,
    "records": change_json,
    "manifest_json": change_json,
    "lock_owner": change_json,
    "fits_headers": change_cards,
    "fits_files": change_cards,
}
