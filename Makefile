# The first call sets up .venv; stamps in it remember that, so later calls install nothing.
PYTHON ?= python3
VENV := .venv
RUNTIME_STAMP := $(VENV)/runtime.stamp
DEV_STAMP := $(VENV)/dev.stamp
PLAY_COMMAND := $(VENV)/bin/telephonegan play
JUPYTER := $(VENV)/bin/jupyter

ROUNDS ?= 8
SEED ?= 0
# What the user typed reaches the command through the environment, so that neither make nor the shell reads it as code.
override IMAGE := $(value IMAGE)
override TEXT := $(value TEXT)
override WORLD := $(value WORLD)
override ROUNDS := $(value ROUNDS)
override SEED := $(value SEED)
export IMAGE TEXT WORLD ROUNDS SEED

.PHONY: help play notebooks badges walkthrough test lint report
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1  /p' Makefile

play: $(RUNTIME_STAMP) ## play the broken telephone: [IMAGE=photo.jpg] [TEXT="a dog runs"] [WORLD=flowers] [ROUNDS=8] [SEED=0]
	@$(PLAY_COMMAND) $${IMAGE:+--image="$$IMAGE"} $${TEXT:+--text="$$TEXT"} $${WORLD:+--world="$$WORLD"} --rounds="$$ROUNDS" --seed="$$SEED"

notebooks: $(RUNTIME_STAMP) ## open copies of the notebooks, in out/notebooks, where git ignores what you save
	@mkdir -p out/notebooks
	@for each in notebooks/*.ipynb; do test -e "out/$$each" || cp "$$each" out/notebooks/; done
	@$(JUPYTER) lab out/notebooks

badges: $(RUNTIME_STAMP) ## links to Colab and Binder, and the address in the notebooks' first cells
	@$(VENV)/bin/python docs/make_badges.py

walkthrough: $(RUNTIME_STAMP) ## run notebooks 01 to 03 and write docs/walkthrough, as far as it is not current
	@$(VENV)/bin/python docs/make_walkthrough.py

test: lint ## check the style and run the tests
	$(VENV)/bin/python -m pytest

lint: $(DEV_STAMP) ## check the style, and that imports go downwards
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo --no-cache

# For those who ship weights: the quality tables of both READMEs, from weights/manifest.json and evaluations.jsonl.
report: $(RUNTIME_STAMP)
	$(VENV)/bin/telephonegan report

$(RUNTIME_STAMP): requirements.txt pyproject.toml
	$(call install,.)
	@touch $(RUNTIME_STAMP)

$(DEV_STAMP): requirements.txt pyproject.toml
	$(call install,.[dev])
	@touch $(RUNTIME_STAMP) $(DEV_STAMP)

# torch and torchvision belong together: one pip call picks both.
define install
@rm -f $(RUNTIME_STAMP) $(DEV_STAMP)
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo 'telephonegan needs Python 3.11 or newer, which "$(PYTHON)" is not. Name one: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' || \
  { echo '"$(PYTHON)" has no venv module. Install it (Debian, Ubuntu: apt install python3-venv) and try again.' >&2; exit 1; }
$(PYTHON) -m venv $(VENV)
$(VENV)/bin/python -m pip install -r requirements.txt -e '$(1)'
endef
