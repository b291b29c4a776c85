"""Pages served by `ui.launch`: what is uploaded lies apart, within limits, and nothing else can be had."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import ui
from common.body_limit import LARGEST_BODY
from common.errors import DataError, UsageError
from common.uploads import LARGEST_OTHERWISE, private_folder, take_upload

ROOT = Path(__file__).parents[2]


class TestTakeUpload:
    def put(self, folder: Path, name: str = "a.png", content: bytes = b"content") -> Path:
        path = folder / "0123" / name
        path.parent.mkdir()
        path.write_bytes(content)
        return path

    def test_bytes_come_back_and_nothing_stays(self, tmp_path: Path) -> None:
        assert take_upload(self.put(tmp_path), tmp_path, 7) == ("a.png", b"content")
        assert list(tmp_path.iterdir()) == []

    def test_what_is_too_large_is_removed_too(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"^a\.png: larger than 0 MB$"):
            take_upload(self.put(tmp_path), tmp_path, 6)
        assert list(tmp_path.iterdir()) == []

    def test_files_elsewhere_are_neither_read_nor_removed(self, tmp_path: Path) -> None:
        folder, secret = tmp_path / "uploads", tmp_path / "secret"
        folder.mkdir()
        secret.write_bytes(b"secret")
        (folder / "link").symlink_to(secret)
        for path in (secret, folder / ".." / "secret", folder / "link", folder, folder / "nowhere"):
            with pytest.raises(UsageError, match="uploaded here"):
                take_upload(path, folder, 100)
        assert secret.read_bytes() == b"secret"


def in_another_program(code: str, **environment: str) -> str:
    known = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_folder_is_private_one_for_the_program_and_removed_at_its_end() -> None:
    code = (
        "import os, pathlib; from common.uploads import private_folder as place; here = place();"
        "(here / 'left').write_text('over'); assert place() == here; print(oct(here.stat().st_mode), here)"
    )
    mode, folder = in_another_program(code).split(" ", 1)
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert not Path(folder).exists()


def test_a_folder_of_the_users_own_is_taken_and_stays(tmp_path: Path) -> None:
    code = "from common.uploads import private_folder; print(private_folder())"
    assert in_another_program(code, GRADIO_TEMP_DIR=str(tmp_path)) == str(tmp_path)
    assert tmp_path.is_dir()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ui.page("Title", "Text") as blocks:
        pass
    yield ui.launch(blocks, free_port(), prevent_thread_lock=True, quiet=True).rstrip("/")
    blocks.close()


def status(request: Any) -> int:
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//etc/passwd",
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        str(ROOT / "pyproject.toml"),
        "pyproject.toml",
        "http://127.0.0.1:1/x",
        "{uploads}/../../etc/passwd",
    ],
)
@pytest.mark.parametrize("route", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/"])
def test_no_path_leads_out_of_the_page(address: str, route: str, path: str) -> None:
    path = path.format(uploads=private_folder())
    assert status(f"{address}{route}{path}") in (400, 403, 404, 405, 422)


@pytest.mark.parametrize(("size", "expected"), [(LARGEST_BODY - 100, {400, 422}), (LARGEST_BODY + 1, {413})])
@pytest.mark.parametrize("route", ["/gradio_api/queue/join", "/gradio_api/run/predict"])
def test_no_other_request_is_read_without_end(address: str, route: str, size: int, expected: set[int]) -> None:
    body = b'{"x": "' + b"x" * (size - 9) + b'"}'
    request = urllib.request.Request(f"{address}{route}", body, {"Content-Type": "application/json"})
    assert status(request) in expected


def test_a_body_in_pieces_is_counted_too() -> None:
    from common.body_limit import BodyLimit

    sent, seen = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"])

    async def answer(pieces: list[bytes]) -> None:
        waiting = [
            {"type": "http.request", "body": one, "more_body": at < len(pieces) - 1} for at, one in enumerate(pieces)
        ]

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message.get("status"))

        await BodyLimit(app, 10)({"type": "http", "path": "/run", "method": "POST"}, receive, send)

    asyncio.run(answer([b"12345", b"67890"]))
    assert (seen, sent) == ([b"1234567890"], [])
    asyncio.run(answer([b"12345", b"67890", b"1", b"2"]))
    assert (seen, sent) == ([b"1234567890"], [413, None])


@pytest.mark.parametrize(("size", "expected"), [(1000, {200}), (LARGEST_OTHERWISE + 1, {413})])
def test_a_page_without_uploads_takes_no_large_files_either(address: str, size: int, expected: set[int]) -> None:
    line = uuid.uuid4().hex
    head = f'--{line}\r\nContent-Disposition: form-data; name="files"; filename="../../x"\r\n\r\n'
    body = head.encode() + b"x" * size + f"\r\n--{line}--\r\n".encode()
    request = urllib.request.Request(
        f"{address}/gradio_api/upload", body, {"Content-Type": f"multipart/form-data; boundary={line}"}
    )
    before = {path for path in private_folder().rglob("*") if path.is_file()}
    assert status(request) in expected
    # It lies in the private folder, whatever it calls itself.
    assert all(private_folder() in path.parents for path in set(private_folder().rglob("*")) - before)
    assert not (private_folder().parent / "x").exists()
