"""Korpora가 받아 푸는 압축 파일이 폴더 밖에 쓰려 하거나, 받다가 끊겨도 남는 것이 없습니다."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from Korpora import utils
from Korpora.loader import FETCH
from soak import count

from nlpbook_nbs.core.corpora import download
from nlpbook_nbs.core.settings import NlpbookError

OUTSIDE = ["../outside.txt", "../../outside.txt", "link/outside.txt"]
ABSOLUTE = "/tmp/nlpbook-outside.txt"


def tar_with(path, name):
    with tarfile.open(path, "w") as tar:
        for each in ("data/train.txt", name):
            if each.startswith("link/"):
                link = tarfile.TarInfo("link")
                link.type, link.linkname = tarfile.SYMTYPE, "../.."
                tar.addfile(link)
            entry = tarfile.TarInfo(each)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"text"))


def zip_with(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/train.txt", "text")
        archive.writestr(name, "text")


def offered(monkeypatch, tmp_path, pack, unpack, name):
    """`pack`으로 만든 압축 파일을 Korpora가 받아 `unpack`으로 푸는 말뭉치 `archive`."""
    source = tmp_path / "server" / "data.bin"
    source.parent.mkdir()
    pack(source, name)

    def fetch(root_dir, force_download):
        path = f"{root_dir}/archive/data.bin"
        unpack(source.as_uri(), path, "archive", force_download)

    monkeypatch.setitem(FETCH, "archive", fetch)
    return tmp_path / "a" / "b" / "corpora"


def everything(folder):
    """`folder` 아래의 모든 파일. 캐시의 자물쇠는 뺍니다."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


@pytest.mark.parametrize("name", OUTSIDE)
def test_tar_entry_outside_its_folder_is_refused(monkeypatch, tmp_path, name):
    root = offered(monkeypatch, tmp_path, tar_with, utils.web_download_untar, name)
    before = everything(tmp_path)
    with pytest.raises(NlpbookError, match="archive: 압축 파일 안에 폴더 밖을 가리키는"):
        download("archive", root)
    assert everything(tmp_path) == before
    assert tarfile.TarFile.extraction_filter is None
    count("폴더 밖을 가리키는 압축 파일을 거절함")


@pytest.mark.parametrize(
    ("pack", "unpack", "name"),
    [
        (tar_with, utils.web_download_untar, ABSOLUTE),
        *((zip_with, utils.web_download_unzip, name) for name in (*OUTSIDE[:2], ABSOLUTE)),
    ],
)
def test_entry_made_safe_by_python_stays_inside(monkeypatch, tmp_path, pack, unpack, name):
    root = offered(monkeypatch, tmp_path, pack, unpack, name)
    before = everything(tmp_path)
    folder = download("archive", root)
    new = set(everything(tmp_path)) - set(before)
    assert all(path.startswith("a/b/corpora/archive/") for path in new)
    assert (folder / "data" / "train.txt").read_text() == "text" and not Path(ABSOLUTE).exists()
    count("폴더 밖을 가리키는 압축 파일을 폴더 안에 풂")


def test_good_archive_is_unpacked(monkeypatch, tmp_path):
    root = offered(monkeypatch, tmp_path, tar_with, utils.web_download_untar, "data/test.txt")
    folder = download("archive", root)
    assert everything(folder) == ["data.bin", "data/test.txt", "data/train.txt"]


def test_broken_fetch_leaves_nothing_and_the_next_one_works(monkeypatch, tmp_path):
    root = offered(monkeypatch, tmp_path, tar_with, utils.web_download_untar, "data/test.txt")
    whole = FETCH["archive"]

    def broken(root_dir, force_download):
        whole(root_dir, force_download)
        raise ConnectionResetError

    monkeypatch.setitem(FETCH, "archive", broken)
    with pytest.raises(NlpbookError, match="archive: Korpora로 받지 못했습니다"):
        download("archive", root)
    assert everything(root) == []
    monkeypatch.setitem(FETCH, "archive", whole)
    assert everything(download("archive", root))
