# 하는 일은 모두 make.py에 있습니다. make가 없으면 make learn 대신 python make.py learn을 실행하세요.
# 목록은 python make.py로 봅니다. 변수는 make PYTHON=python3.12 learn, make bench ONLY=inference처럼 적습니다.

PYTHON ?= python3
TASKS := learn notebook test lint colab bench soak docs book export constraints clean

.PHONY: $(TASKS)
.NOTPARALLEL:

$(TASKS):
	@$(PYTHON) make.py $@
