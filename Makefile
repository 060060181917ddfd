# make learn     처음 한 번: 설치하고, 작은 모델을 학습해 써 봅니다
# make notebook  모든 장을 주피터랩으로 엽니다
# make test      노트북과 tests/를 모두 실행합니다 (장은 tests/test_chapters.py가 휠에서 한 번 실행합니다)
# make lint     ruff로 글의 꼴과 흔한 실수를, mypy로 형(type)을 봅니다 (make test가 먼저 부릅니다)
# make colab     코랩 흉내에서 모든 장을 두 번 실행합니다: 인터넷을 막고, 막지 않고
# make bench     다른 방법들과 나란히 잽니다 (ONLY=묶음으로 일부만, 30분 남짓)
# make soak      결함 시험을 오래 합니다: 죽이고, 채우고, 뒤집고, 아무 바이트나 먹입니다 (30분 남짓)
# make docs      사이트를 _docs/에 만듭니다 (Quarto가 있어야 합니다)
# make export    고친 노트북에서 패키지, 장의 표, 사이드바, API 페이지를 만들고 주소를 맞춥니다

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: learn notebook test lint colab bench soak docs quarto export constraints clean

learn: $(INSTALLED)
	$(BIN)/nlpbook learn

notebook: $(INSTALLED)
	$(BIN)/nlpbook notebook

test: lint
	NLPBOOK_PROFILE=quick HF_HUB_OFFLINE=1 $(BIN)/nbdev_test --path nbs --file_re "^[a-z].*" --n_workers 1
	NLPBOOK_PROFILE=quick HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

LINTED := nbs tests tools bench setup.py

lint: $(INSTALLED)
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy

colab: $(INSTALLED)
	NLPBOOK_TEST_COLAB=1 $(BIN)/python -m pytest tests/test_chapters.py

bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable ".[bench]"
	$(BIN)/python bench/bench.py

soak: $(INSTALLED)
	NLPBOOK_SOAK=1 $(BIN)/python -m pytest tests/faults

docs: quarto $(INSTALLED)
	$(BIN)/python tools/check_site.py
	quarto render

quarto:
	@command -v quarto >/dev/null || { echo "Quarto가 없습니다. https://quarto.org/docs/get-started 에서 받아 설치한 뒤 make docs를 다시 실행하세요."; exit 1; }

export: $(INSTALLED)
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python tools/stub.py
	$(BIN)/python tools/links.py
	$(BIN)/python tools/contents.py
	$(BIN)/python tools/api.py
	$(BIN)/python tools/pictures.py

# settings.ini의 의존성을 오늘의 최신 버전으로 다시 풀어 constraints.txt에 적습니다. 적은 뒤에는 make test로 확인하세요.
constraints: $(INSTALLED)
	$(BIN)/python tools/constraints.py

$(INSTALLED): settings.ini setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable ".[dev,notebook]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache
