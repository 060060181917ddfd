# make learn     처음 한 번: 설치하고, 작은 모델을 학습해 써 봅니다
# make notebook  모든 장을 주피터랩으로 엽니다
# make test      노트북과 tests/를 모두 실행합니다 (장은 tests/test_chapters.py가 휠에서 한 번 실행합니다)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: learn notebook test export constraints clean

learn: $(INSTALLED)
	$(BIN)/nlpbook learn

notebook: $(INSTALLED)
	$(BIN)/nlpbook notebook

test: $(INSTALLED)
	NLPBOOK_PROFILE=quick HF_HUB_OFFLINE=1 $(BIN)/nbdev_test --path nbs/foundation --n_workers 1
	NLPBOOK_PROFILE=quick HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

export: $(INSTALLED)
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python tools/links.py

# settings.ini의 의존성을 오늘의 최신 판으로 다시 풀어 constraints.txt에 적습니다. 적은 뒤에는 make test로 확인하세요.
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
