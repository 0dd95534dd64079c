# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# libwebrtc is a peer of tests/interop; without npm its tests are skipped with a reason.
WRTC := tests/interop/wrtc
PEERS := $(if $(shell command -v npm),$(WRTC)/node_modules/.installed)
# The plugin is found and the sources are used in place by a path file: an editable install
# would leave twisted/plugins out.
LIBRARY := $$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.PHONY: demo test check clean

demo: $(STAMP)
	$(VENV)/bin/twistd -n --pidfile= refreeze --demo

test: $(STAMP) $(PEERS)
	PYTHONPATH=. $(VENV)/bin/trial --reporter=text tests

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet '.[dev]'
	$(VENV)/bin/pip uninstall --quiet --yes refreeze
	printf '%s\n%s\n' '$(CURDIR)/src' '$(CURDIR)' > "$(LIBRARY)/refreeze-sources.pth"
	printf '#!%s\nimport sys\nfrom refreeze.ctl import main\nsys.exit(main())\n' \
		'$(CURDIR)/$(VENV)/bin/python' > $(VENV)/bin/refreezectl
	chmod +x $(VENV)/bin/refreezectl
	touch $(STAMP)

$(WRTC)/node_modules/.installed: $(WRTC)/package.json
	cd $(WRTC) && npm install --no-audit --no-fund --no-package-lock --loglevel=error
	touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info .state _trial_temp* $(WRTC)/node_modules
