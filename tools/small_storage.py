"""큰 모델을 8비트로 담아 두고, 처음 열 때 한 번 보통의 모델 폴더로 펼칩니다.

행렬은 줄(출력)마다 가장 큰 절댓값을 127로 삼는 정수 8비트와 배율(scale) 하나로, 나머지(치우침, LayerNorm, 두세 줄짜리 행렬)는 32비트 그대로 담습니다.
펼친 폴더는 사용자의 캐시에 있고 담은 파일의 지문이 이름에 들어가므로, 패키지가 바뀌면 새로 펼칩니다. 그다음부터는 transformers가 스스로 여는 보통의 폴더입니다.
PyTorch를 불러오지 않습니다.
"""

import hashlib
import json
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nlpbook_nbs.core.files import explain_os_errors, written_aside
from nlpbook_nbs.core.settings import NlpbookError, cache_dir, logger

PACKED = "model.int8.safetensors"
PLAIN = "model.safetensors"
_FORMAT = "int8-rows 1"  # 담는 방법을 바꾸면 올립니다.
_SCALE = ".scale"
_LEAST_ROWS = 16  # 이보다 줄이 적은 행렬은 줄여 봐야 얻을 것이 없습니다.


def round_rows(
    weight,  # 실수 행렬 (줄, 열)
):
    """줄마다 8비트로 반올림한 `(정수 (줄, 열) int8, 배율 (줄,) float32)`. 되돌린 값은 `정수 * 배율`이고, 오차는 배율의 절반을 넘지 않습니다."""
    scale = np.abs(weight).max(axis=1).astype(np.float32) / np.float32(127)
    safe = np.where(scale > 0, scale, np.float32(1))
    return np.rint(weight / safe[:, None]).clip(-127, 127).astype(np.int8), scale


def pack_weights(
    source,  # 보통의 model.safetensors
    target,  # 만들 파일
):
    """가중치 파일을 8비트로 담고 `{"bytes": 크기, "weights": 담은 수}`를 돌려줍니다. 무한대나 NaN이 있으면 `NlpbookError`."""
    packed, total = {}, 0
    with safe_open(source, "np") as file:
        for name in sorted(file.keys()):
            weight = file.get_tensor(name).astype(np.float32)
            if not np.isfinite(weight).all():
                raise NlpbookError(
                    f"{source}: {name}에 무한대나 NaN이 있습니다. 학습이 발산한 가중치가 아닌지 확인하세요."
                )
            total += weight.size
            if weight.ndim == 2 and len(weight) >= _LEAST_ROWS:
                packed[name], packed[name + _SCALE] = round_rows(weight)
            else:
                packed[name] = weight
    with written_aside(target) as part:
        save_file(packed, part, metadata={"nlpbook": _FORMAT})
        os.chmod(part, 0o644)
    return {"bytes": Path(target).stat().st_size, "weights": total}


def unpack_weights(
    path,  # pack_weights가 만든 파일
):
    """담아 둔 가중치를 `{이름: 실수 배열}`로 되돌립니다. 되돌린 행렬은 float16, 나머지는 float32입니다."""
    found = {}
    try:
        with safe_open(path, "np") as file:
            if (file.metadata() or {}).get("nlpbook") != _FORMAT:
                raise NlpbookError(
                    f"{path}: 이 판의 nlpbook이 담은 파일이 아닙니다. 패키지를 다시 설치하세요."
                )
            names = set(file.keys())
            for name in sorted(name for name in names if not name.endswith(_SCALE)):
                weight = file.get_tensor(name)
                if name + _SCALE in names:
                    weight = (weight * file.get_tensor(name + _SCALE)[:, None]).astype(np.float16)
                found[name] = weight
    except (SafetensorError, OSError) as error:
        raise NlpbookError(
            f"{path}: 담아 둔 가중치를 읽지 못했습니다({error}). 패키지를 다시 설치하세요."
        ) from None
    return found


def plain_folder(
    folder,  # config.json, 토크나이저와 model.int8.safetensors가 든 폴더
):
    """`folder`를 transformers가 여는 보통의 모델 폴더로 펼치고 그 경로를 돌려줍니다.

    8비트로 담은 파일이 없으면 `folder`를 그대로 돌려줍니다. 한 번 펼친 것은 캐시에 남아 다음부터는 찾기만 합니다.
    여러 프로세스가 한꺼번에 불러도 하나만 펼칩니다. 캐시에 쓸 수 없으면 경고하고 임시 폴더에 펼칩니다(프로그램이 끝나면 지웁니다).
    """
    folder = Path(folder)
    packed = folder / PACKED
    if not packed.is_file():
        return folder
    target = cache_dir() / "models" / f"{folder.name}-{_digest(packed, packed.stat().st_mtime_ns)}"
    if _complete(target):
        return target
    try:
        with explain_os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{target}.lock"):
                if not _complete(target):  # 기다리는 동안 다른 프로세스가 펼쳤을 수 있습니다.
                    _unfold(folder, target)
        return target
    except NlpbookError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        logger.warning("%s 이번에는 임시 폴더에 펼칩니다.", error)
        return _unfold_for_now(folder)


@lru_cache
def _digest(path, changed):
    """파일 내용의 지문 (16진수 16자). 이름을 풀 때마다 불리므로, 파일이 그대로면(`changed`) 다시 읽지 않습니다."""
    digest = hashlib.sha1(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _complete(target):
    """펼치다 만 폴더는 이 이름을 얻지 못하므로, 가중치의 크기가 적어 둔 것과 같은지만 봅니다."""
    try:
        record = json.loads((target / "unpacked.json").read_text(encoding="utf-8"))
        return all((target / name).stat().st_size == size for name, size in record.items())
    except (OSError, ValueError, AttributeError):
        return False


def _unfold(folder, target):
    """`folder`를 펼친 것을 옆에 다 쓴 다음 `target`으로 이름을 바꿉니다."""
    aside = Path(tempfile.mkdtemp(prefix=target.name + ".", suffix=".part", dir=target.parent))
    try:
        for path in folder.iterdir():
            if path.is_file() and path.name != PACKED:
                shutil.copyfile(path, aside / path.name)
        save_file(unpack_weights(folder / PACKED), aside / PLAIN, metadata={"format": "pt"})
        sizes = {path.name: path.stat().st_size for path in sorted(aside.iterdir())}
        (aside / "unpacked.json").write_text(json.dumps(sizes), encoding="utf-8")
        for path in aside.iterdir():
            path.chmod(0o644)
        aside.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unfold_for_now(folder):
    import atexit

    place = Path(tempfile.mkdtemp(prefix="nlpbook-model-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    _unfold(folder, place / folder.name)
    return place / folder.name
