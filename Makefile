# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# Real peers of tests/interop and tests/lab; what cannot be had is skipped with a reason.
WRTC := tests/interop/wrtc
AGENTS := tests/lab/agents
GOCODE := /usr/share/gocode
PEERS := $(AGENTS)/.venv/.installed \
	$(if $(shell command -v npm),$(WRTC)/node_modules/.installed $(AGENTS)/node_modules/.installed) \
	$(if $(wildcard $(GOCODE)/src/github.com/pion/webrtc),$(AGENTS)/pion/pionagent)
# The plugin is found and the sources are used in place by a path file: an editable install
# would leave twisted/plugins out.
LIBRARY := $$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.PHONY: demo test check peers clean

demo: $(STAMP)
	$(VENV)/bin/twistd -n --pidfile= refreeze --demo

test: $(STAMP) $(PEERS)
	PYTHONPATH=. $(VENV)/bin/trial --reporter=text tests

peers: $(PEERS)

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

%/node_modules/.installed: %/package.json
	cd $* && npm install --no-audit --no-fund --no-package-lock --loglevel=error
	touch $@

$(AGENTS)/.venv/.installed: $(AGENTS)/requirements.txt
	$(PYTHON) -m venv $(AGENTS)/.venv
	$(AGENTS)/.venv/bin/pip install --quiet -r $<
	touch $@

# Debian's pion is sources below a GOPATH, and a program has to stand in one too.
$(AGENTS)/pion/pionagent: $(AGENTS)/pion/main.go $(AGENTS)/pion/go.mod
	mkdir -p $(AGENTS)/pion/.gopath/src
	ln -sfn ../.. $(AGENTS)/pion/.gopath/src/pionagent
	cd $(AGENTS)/pion/.gopath/src/pionagent && GO111MODULE=off \
		GOPATH=$(CURDIR)/$(AGENTS)/pion/.gopath:$(GOCODE) go build -o $(CURDIR)/$@ .

clean:
	rm -rf $(VENV) build dist src/*.egg-info .state _trial_temp* $(WRTC)/node_modules \
		$(AGENTS)/node_modules $(AGENTS)/.venv $(AGENTS)/pion/.gopath $(AGENTS)/pion/pionagent
