"""Features of many pictures or texts, computed once, kept on disk and mapped into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.errors import DataError, UsageError
from common.files import read_json, write_bytes, write_json
from common.pictures import Colour, Source, check_limit, describe, load_picture, why

if TYPE_CHECKING:
    from common.models.clip import Clip

Progress = Callable[[int, int], None]

_DIGEST = 16  # bytes: what tells sources apart


@dataclass(frozen=True)
class Features:
    """Features of the pictures that could be read.

    Attributes:
        values: `(K, D)` float32, mapped read-only.
        kept: index of each row's picture among the sources.
        bad: the other sources, described, each with its reason.
    """

    values: np.ndarray
    kept: list[int]
    bad: list[tuple[str, str]]


class FeatureCache:
    """A folder of feature files, each named by all that decides its content.

    That is: the model's fingerprint (weights, preprocess, precision), and of every source its bytes and size, in their
    order. One changed pixel or sentence makes another file; a renamed picture does not. Rows of pictures that another
    file of the same model holds are copied, not computed. An interrupted computation goes on at its last whole batch.
    Files are written under a temporary name and renamed when they are whole; two processes that compute the same
    write the same bytes to the same places. Memory holds one batch, whatever the number of sources.

    Args:
        folder: where the files lie; made at the first write. It can be deleted at any time.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def images(
        self,
        clip: Clip,
        sources: Sequence[Source],
        on_progress: Progress | None = None,
        limit: int | None = None,
    ) -> Features:
        """Features of pictures.

        Args:
            clip: the model.
            sources: see `common.pictures.load_picture`.
            on_progress: called with (done, all) after each batch.
            limit: how many pictures may be bad; None: any number.

        Raises:
            DataError: more than `limit` pictures are bad.
        """
        keys = [_picture_key(source, clip.background) for source in sources]
        work = _Work(self.folder, clip, "pictures", keys)
        known = self._rows(clip, work) if work.needed else {}

        def encode(start: int, stop: int) -> tuple[np.ndarray, dict[int, str]]:
            return _encode_pictures(clip, sources, keys, known, range(start, stop))

        values, reasons = work.run(encode, on_progress, limit)
        bad = [(describe(sources[at]), reason) for at, reason in sorted(reasons.items())]
        check_limit(bad, limit)
        return Features(values, [at for at in range(len(sources)) if at not in reasons], bad)

    def texts(self, clip: Clip, texts: Sequence[str], on_progress: Progress | None = None) -> np.ndarray:
        """Features of texts: `(N, D)` float32, mapped read-only."""
        work = _Work(self.folder, clip, "texts", [_text_key(text) for text in texts])

        def encode(start: int, stop: int) -> tuple[np.ndarray, dict[int, str]]:
            return clip.text(texts[start:stop]).cpu().numpy(), {}

        return work.run(encode, on_progress, None)[0]

    def _rows(self, clip: Clip, work: _Work) -> dict[bytes, tuple[Path, int]]:
        """Where the whole files of this model hold a picture's row."""
        wanted, rows = set(work.keys), {}
        for file in sorted(work.folder.glob("pictures-*.keys")):
            data, keys = file.with_suffix(".f32"), file.read_bytes()
            if not data.exists() or data.stat().st_size != len(keys) // _DIGEST * clip.dim * 4:
                continue
            for row in range(len(keys) // _DIGEST):
                key = keys[row * _DIGEST : (row + 1) * _DIGEST]
                if key in wanted:
                    rows[key] = (data, row)
        return rows


class _Work:
    """One feature file: found whole, or computed batch by batch."""

    def __init__(self, folder: Path, clip: Clip, kind: str, keys: list[bytes]) -> None:
        self.folder = folder / clip.fingerprint
        self.keys = keys
        self.dim = clip.dim
        self.batch = clip.batch_size
        name = hashlib.sha256(b"".join([len(keys).to_bytes(8, "big"), *keys])).hexdigest()[:32]
        self.file = self.folder / f"{kind}-{name}.f32"
        self.state = self.file.with_suffix(".json")
        self.partial = self.file.with_suffix(".partial")

    @property
    def needed(self) -> bool:
        """Whether something is left to compute."""
        return self._whole() is None

    def run(
        self,
        encode: Callable[[int, int], tuple[np.ndarray, dict[int, str]]],
        on_progress: Progress | None,
        limit: int | None,
    ) -> tuple[np.ndarray, dict[int, str]]:
        """The rows, and the reasons of those left out, by index."""
        total = len(self.keys)
        reasons = self._whole()
        if reasons is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            done, reasons = self._begun()
            # Never emptied: another process may be writing the same bytes to it.
            self.partial.touch()
            with self.partial.open("r+b") as file:
                for start in range(done, total, self.batch):
                    if limit is not None and len(reasons) > limit:
                        return np.zeros((0, self.dim), np.float32), reasons
                    stop = min(start + self.batch, total)
                    rows, bad = encode(start, stop)
                    file.seek((start - len(reasons)) * self.dim * 4)
                    file.write(np.ascontiguousarray(rows, dtype=np.float32).data)
                    file.flush()
                    reasons |= bad
                    write_json(self.state, {"done": stop, "bad": list(reasons.items())})
                    if on_progress is not None:
                        on_progress(stop, total)
                file.truncate((total - len(reasons)) * self.dim * 4)
            kept = [key for at, key in enumerate(self.keys) if at not in reasons]
            write_bytes(self.file.with_suffix(".keys"), b"".join(kept))
            write_json(self.state, {"done": total, "bad": list(reasons.items())})
            self._finish()
        elif on_progress is not None:
            on_progress(total, total)
        return self._mapped(total - len(reasons)), reasons

    def _finish(self) -> None:
        try:
            self.partial.replace(self.file)
        except FileNotFoundError:
            # Another process that computed the same was first.
            if not self.file.exists():
                raise

    def _whole(self) -> dict[int, str] | None:
        """Reasons of the rows left out, where the file is whole."""
        state = self._state()
        if state is None or not self.file.exists():
            return None
        done, reasons = state
        rows = len(self.keys) - len(reasons)
        return reasons if done == len(self.keys) and self.file.stat().st_size == rows * self.dim * 4 else None

    def _begun(self) -> tuple[int, dict[int, str]]:
        """How far an interrupted computation came."""
        state = self._state()
        if state is None or not self.partial.exists():
            return 0, {}
        done, reasons = state
        enough = self.partial.stat().st_size >= (done - len(reasons)) * self.dim * 4
        # Batches start where they would have started: their size is part of what decides the last bits.
        return (done, reasons) if enough and done % self.batch == 0 else (0, {})

    def _state(self) -> tuple[int, dict[int, str]] | None:
        if not self.state.exists():
            return None
        try:
            state = read_json(self.state)
            return int(state["done"]), {int(at): str(reason) for at, reason in state["bad"]}
        except (DataError, KeyError, TypeError, ValueError):
            return None

    def _mapped(self, rows: int) -> np.ndarray:
        if not rows:
            return np.zeros((0, self.dim), np.float32)
        return np.memmap(self.file, np.float32, "r", shape=(rows, self.dim))


def _encode_pictures(
    clip: Clip, sources: Sequence[Source], keys: list[bytes], known: dict[bytes, tuple[Path, int]], span: range
) -> tuple[np.ndarray, dict[int, str]]:
    """Rows of the readable pictures of a batch, and the reasons of the others."""
    rows: dict[int, np.ndarray] = {}
    reasons: dict[int, str] = {}
    prepared, at_rows = [], []
    for at in span:
        if keys[at] in known:
            file, row = known[keys[at]]
            rows[at] = np.fromfile(file, np.float32, clip.dim, offset=row * clip.dim * 4)
            continue
        try:
            # Reduced to the model's size one by one: a batch of photographs does not fit everywhere.
            prepared.append(clip.prepare([load_picture(sources[at], clip.background)]))
            at_rows.append(at)
        except DataError as error:
            reasons[at] = why(error)
    if prepared:
        with torch.no_grad():
            encoded = clip.encode_prepared(torch.cat(prepared)).cpu().numpy()
        rows |= dict(zip(at_rows, encoded, strict=True))
    return np.stack([rows[at] for at in sorted(rows)]) if rows else np.zeros((0, clip.dim), np.float32), reasons


def _picture_key(source: Source, background: Colour) -> bytes:
    """Digest of the bytes and their number; of what is missing, that it is."""
    digest, size = hashlib.blake2b(digest_size=_DIGEST), 0
    for chunk in _chunks(source, background):
        size += len(chunk)
        digest.update(chunk)
    digest.update(size.to_bytes(8, "big"))
    return digest.digest()


def _chunks(source: Source, background: Colour) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, (str, Path)):
        try:
            with open(source, "rb") as file:
                while chunk := file.read(1 << 20):
                    yield chunk
        except OSError as error:
            # Named as bad when it is its turn.
            yield f"unreadable {source} {type(error).__name__}".encode()
    else:
        try:
            # As the model will see it: palette, transparency and orientation count.
            picture = load_picture(source, background)
        except DataError as error:
            yield str(error).encode()
        else:
            yield f"{source.mode} {picture.width}×{picture.height}".encode()
            yield picture.tobytes()


def _text_key(text: str) -> bytes:
    if not isinstance(text, str):
        raise UsageError(f"a text is a {type(text).__name__}, not a string")
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
