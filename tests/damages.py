"""Damages of a run's folder, as disks, people and scripts do them; each is drawn at random and says what it did."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Scene(NamedTuple):
    """A run to be damaged, others whose files may get into it, and a place outside of it."""

    root: Path
    others: tuple[Path, ...]
    outside: Path
    draw: random.Random


Damage = Callable[[Scene], str]
"""Damages a run and says how."""
FOREIGN = (
    "notes.txt",
    "mine/arm=default/x.parquet",
    "errors/notes.parquet",
    "errors/arm=default/x.parquet",
    "errors/arm=default/shard-000000-mine.parquet",
    "errors/arm=other/shard-000000-0123456789ab-0.parquet",
    "commit/notes.json",
    "mine.json",
)
"""Files of somebody else: nothing of ours has such a name or place."""


def files(root: Path) -> list[Path]:
    """All files of a run but its lock."""
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and path.name != ".lock")


def links_kept(source: Path, target: Path) -> Path:
    """Copy a run; files that are one by hard links stay so."""
    known: dict[int, Path] = {}

    def copy(old: str, new: str) -> None:
        inode = Path(old).stat().st_ino
        if inode in known:
            os.link(known[inode], new)
        else:
            shutil.copy2(old, new)
            known[inode] = Path(new)

    return shutil.copytree(source, target, copy_function=copy)


def tree(root: Path, *, but: tuple[str, ...] = (".lock",)) -> dict[str, object]:
    """What lies in a folder: kind and content by name; links are not followed, FIFOs not opened."""
    found: dict[str, object] = {}
    for folder, names, plain in os.walk(root):
        for name in (*names, *plain):
            path = Path(folder, name)
            where = path.relative_to(root).as_posix()
            if path.is_symlink():
                found[where] = ("link", str(path.readlink()))
            elif path.is_file():
                found[where] = path.read_bytes()
            else:
                found[where] = path.stat().st_mode
    return {name: content for name, content in found.items() if name not in but}


def _file(scene: Scene) -> Path:
    return scene.draw.choice(files(scene.root))


def _name(scene: Scene, path: Path) -> str:
    return path.relative_to(scene.root).as_posix()


def _cut(scene: Scene) -> str:
    path = _file(scene)
    size = scene.draw.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{_name(scene, path)} cut to {size} bytes"


def _flip(scene: Scene) -> str:
    path = _file(scene)
    at, bit = scene.draw.randrange(path.stat().st_size), scene.draw.randrange(8)
    with path.open("r+b") as stream:  # in place: all hard links of the file change
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1 << bit]))
    return f"bit {bit} of byte {at} of {_name(scene, path)} flipped"


def _zero(scene: Scene) -> str:
    path = _file(scene)
    size = path.stat().st_size
    at = scene.draw.randrange(size)
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes(min(512, size - at)))
    return f"zeros from byte {at} of {_name(scene, path)} on"


def _append(scene: Scene) -> str:
    path = _file(scene)
    with path.open("ab") as stream:
        stream.write(scene.draw.randbytes(scene.draw.randrange(1, 100)))
    return f"bytes appended to {_name(scene, path)}"


def _empty(scene: Scene) -> str:
    path = _file(scene)
    os.truncate(path, 0)
    return f"{_name(scene, path)} emptied"


def _delete(scene: Scene) -> str:
    path = _file(scene)
    path.unlink()
    return f"{_name(scene, path)} deleted"


def _rename(scene: Scene) -> str:
    path = _file(scene)
    new = scene.draw.choice((f"{path.name}.bak", f"x{path.name}", path.name.replace("0", "1")))
    path.rename(path.with_name(new))
    return f"{_name(scene, path)} renamed to {new}"


def _swap(scene: Scene) -> str:
    one, other = _file(scene), _file(scene)
    if one != other:
        spare = scene.outside / "spare"
        one.rename(spare)
        other.rename(one)
        spare.rename(other)
    return f"{_name(scene, one)} and {_name(scene, other)} swapped"


def _copy_over(scene: Scene) -> str:
    one, other = _file(scene), _file(scene)
    content = one.read_bytes()
    other.write_bytes(content)
    return f"{_name(scene, one)} copied over {_name(scene, other)}"


def _link_over(scene: Scene) -> str:
    one, other = _file(scene), _file(scene)
    if one != other:
        other.unlink()
        os.link(one, other)
    return f"{_name(scene, other)} became a hard link to {_name(scene, one)}"


def _folder_instead(scene: Scene) -> str:
    path = _file(scene)
    path.unlink()
    path.mkdir()
    return f"{_name(scene, path)} became a folder"


def _fifo_instead(scene: Scene) -> str:
    path = _file(scene)
    path.unlink()
    os.mkfifo(path)
    return f"{_name(scene, path)} became a FIFO"


def _symlink_instead(scene: Scene) -> str:
    path = _file(scene)
    moved = scene.outside / f"{scene.draw.randrange(10**9)}"
    kind = scene.draw.choice(("itself, moved outside", "nothing", "another file", "itself for ever", "/dev/zero"))
    other = _file(scene)
    path.rename(moved)
    targets = {"nothing": "nowhere", "another file": str(other), "itself for ever": path.name, "/dev/zero": "/dev/zero"}
    path.symlink_to(targets.get(kind, str(moved)))
    return f"{_name(scene, path)} became a link to {kind}"


def _from_other_run(scene: Scene) -> str:
    """Replace a document by its namesake of another run, or a part by one of its table and arm."""
    path, other = _file(scene), scene.draw.choice(scene.others)
    name = path.relative_to(scene.root)
    found = (
        other / name if path.suffix == ".json" else next(iter(sorted((other / name.parent).glob("*.parquet"))), None)
    )
    if found is None or not found.exists():
        return f"nothing: {other.name} has nothing like {name}"
    shutil.copy(found, path)
    return f"{name} replaced by that of the run {other.name}"


def _documents_of_other_run(scene: Scene) -> str:
    """Replace plan, run.json or all commits by those of another run."""
    other, which = scene.draw.choice(scene.others), scene.draw.choice(("plan.json", "run.json", "commit"))
    if which == "commit":
        shutil.rmtree(scene.root / which)
        shutil.copytree(other / which, scene.root / which)
    else:
        shutil.copy(other / which, scene.root / which)
    return f"{which} replaced by that of the run {other.name}"


def _commit_again(scene: Scene) -> str:
    commits = sorted((scene.root / "commit").glob("*.json"))
    if not commits:
        return "nothing: no commit"
    one, number = scene.draw.choice(commits), scene.draw.randrange(6)
    content = one.read_bytes()
    (scene.root / "commit" / f"{number:06d}.json").write_bytes(content)
    return f"{one.name} copied as commit {number}"


def _folders(scene: Scene) -> list[Path]:
    return sorted(path for path in scene.root.rglob("*") if path.is_dir() and not path.is_symlink())


def _swap_folders(scene: Scene) -> str:
    tables = [path for path in sorted(scene.root.iterdir()) if len(list(path.glob("arm=*"))) > 1]
    table = scene.draw.choice(tables)
    one, other = scene.draw.sample(sorted(table.glob("arm=*")), 2)
    spare = table / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)
    return f"{table.name}: {one.name} and {other.name} swapped"


def _delete_folder(scene: Scene) -> str:
    path = scene.draw.choice(_folders(scene))
    shutil.rmtree(path)
    return f"folder {_name(scene, path)} deleted"


def _folder_elsewhere(scene: Scene) -> str:
    path, moved = scene.draw.choice(_folders(scene)), scene.outside / f"{scene.draw.randrange(10**9)}"
    shutil.move(path, moved)
    if scene.draw.random() < 0.5:
        path.symlink_to(moved)
        return f"folder {_name(scene, path)} became a link to itself, moved outside"
    path.write_text("x")
    return f"folder {_name(scene, path)} became a file"


def _lock(scene: Scene) -> str:
    path = scene.root / ".lock"
    path.unlink(missing_ok=True)
    kind = scene.draw.choice(("gone", "a link", "a folder", "a FIFO"))
    if kind == "a link":
        (scene.outside / "precious").write_text("precious")
        path.symlink_to(scene.outside / "precious")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    return f".lock became {kind}"


def _no_rights(scene: Scene) -> str:
    path = _file(scene)
    path.chmod(0)
    return f"{_name(scene, path)}: no permissions"


def _foreign(scene: Scene) -> str:
    name = scene.draw.choice(FOREIGN)
    path = scene.root / name
    if not path.parent.exists():
        path.parent.mkdir(parents=True)  # an arm may have no rows of a table
    if path.parent.is_dir():
        path.write_text("precious")
    return f"{name} added"


DAMAGES: tuple[Damage, ...] = (
    _cut,
    _flip,
    _zero,
    _append,
    _empty,
    _delete,
    _rename,
    _swap,
    _copy_over,
    _link_over,
    _folder_instead,
    _fifo_instead,
    _symlink_instead,
    _from_other_run,
    _documents_of_other_run,
    _commit_again,
    _swap_folders,
    _delete_folder,
    _folder_elsewhere,
    _lock,
    _no_rights,
    _foreign,
)


def damage(scene: Scene, number: int, count: int) -> Iterator[str]:
    """Do so many damages, one after the other, and say which; the first one's kind goes round with the number."""
    yield DAMAGES[number % len(DAMAGES)](scene)
    for _ in range(count - 1):
        yield scene.draw.choice(DAMAGES)(scene)
