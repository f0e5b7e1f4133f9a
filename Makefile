# make demo: the main job, on invented patients.   make test: everything that must hold.   make bench, make torture: long programs.
RUN := .venv/bin/python -m

.PHONY: setup demo test lint bench torture mutations lock clean

setup:
	@./scripts/setup

demo: setup
	@.venv/bin/fhir-radcharge demo

test: setup
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) pytest -n 2

bench: setup
	$(RUN) bench

torture: setup
	$(RUN) tests.rig.torture 400

mutations: setup
	$(RUN) tests.mutations

lock:
	$(RUN) uv pip compile pyproject.toml --group dev --group bench --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean:
	rm -rf .venv var build dist
