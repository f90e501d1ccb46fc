# Everything that one does with this repository. `make help` lists it.
MODULE   := github.com/vmexecutor/config-server
SWAGGER  := go tool -modfile=tools/go.mod swagger
LINT     := go tool -modfile=tools/lint/go.mod golangci-lint
GOFLAGS  ?= -trimpath
# A number of inputs, and not a time: a time that ends while a worker is at work can fail a target
# that found nothing (go.dev/issue/75804).
FUZZTIME ?= 100000x

.DEFAULT_GOAL := help
.PHONY: help demo demo-vm run build test test-system soak race bench fuzz fuzz-targets generate check-generated check-contract release-contract lint vet fmt tidy clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## deliver an executor to a simulated VM, show who sees what, change a field
	go run ./cmd/demo -server bin/config-server

demo-vm: build ## boot a real VM under QEMU that reads its executor, runs it and reports; needs qemu-system-x86, linux-image-cloud-amd64, busybox-static
	go run ./cmd/demo-vm -server bin/config-server -tether bin/tether

run: build ## start the server on embedded defaults and print requests to try
	@echo "Requests to try in another terminal (from the README):"; echo; sh docs/try.sh; echo
	bin/config-server

build: ## build bin/config-server, and bin/tether for guests
	CGO_ENABLED=0 go build $(GOFLAGS) -o bin/ ./cmd/config-server
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '-s -w' -o bin/ ./cmd/tether

test: ## run all tests; needs Go alone
	go test -timeout 20m ./...

test-system: ## run the tests that need Debian packages: curl, chromium, and QEMU with a kernel for its VMs
	go test -count=1 -p 1 -tags system -timeout 60m -run '^TestSystem' ./cmd/... ./vm/qemu

soak: ## kill the real server a thousand times while clients write, and look at what it leaves behind
	go test -count=1 -tags system -run '^TestSystemCrash$$' -timeout 0 -v ./cmd/config-server -crash.rounds 1000

race: ## run all tests with the race detector
	go test -race ./...

fuzz: ## run the property tests with a million cases, the model of push with a million steps, then each fuzz target with FUZZTIME inputs
	go test ./extraconfig -run '^TestProperty' -rapid.checks=1000000 -timeout 0
	go test ./push -run '^TestModel$$' -model.seed 0 -model.steps 1000000 -timeout 0
	$(MAKE) -s fuzz-targets

fuzz-targets:
	@grep -Hor '^func Fuzz[A-Za-z]*' --include '*_test.go' extraconfig guest handlers | sed 's|/[^/]*:func | |' | while read -r package target; do \
		echo "$$package $$target $(FUZZTIME)"; \
		go test "./$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x || exit 1; \
	done

bench: ## run the benchmarks; docs/performance.md says how to run one alone, and what its figures mean
	go test -run '^$$' -bench . -benchmem ./extraconfig ./guest ./store/... ./vm/... ./push ./app ./audit ./handlers
	go test -run '^$$' -bench . -timeout 30m ./cmd/config-server

generate: ## regenerate models/, restapi/, client/ from swagger.yml, and docs/keys.md
	$(SWAGGER) validate --quiet swagger.yml
	rm -rf models restapi client
	$(SWAGGER) generate server --quiet -f swagger.yml -A config --exclude-main --return-errors --strict-responders -C tools/swagger/server.yml
	$(SWAGGER) generate client --quiet -f swagger.yml -A config --skip-models
	go test ./extraconfig -run '^TestKeysPage$$' -update

check-generated: generate ## fail when the generated code is not what swagger.yml says
	@git diff --exit-code --stat -- models restapi client docs/keys.md
	@test -z "$$(git status --porcelain -- models restapi client)" || { git status --short -- models restapi client; exit 1; }

check-contract: ## fail when swagger.yml breaks clients of the last release
	@$(SWAGGER) diff --quiet -b -i tools/swagger/accepted.json tools/swagger/released.yml swagger.yml

release-contract: ## make swagger.yml what check-contract holds changes against: part of a release
	mkdir -p bin
	(sed -n '/^#/!q;p' tools/swagger/released.yml; cat swagger.yml) > bin/released.yml
	mv bin/released.yml tools/swagger/released.yml
	echo '[]' > tools/swagger/accepted.json

lint: ## run the linters
	$(LINT) run --allow-parallel-runners ./...

vet: ## run go vet
	go vet -tags system ./...

fmt: ## format hand-written code
	git ls-files '*.go' | grep -vE '^(models|restapi|client)/' | xargs gofmt -w

tidy: ## tidy every go.mod
	go mod tidy
	go -C tools mod tidy
	go -C tools/lint mod tidy

clean: ## remove what was built
	rm -rf bin
