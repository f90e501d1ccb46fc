module github.com/vmexecutor/config-server

go 1.26.0

require (
	github.com/DeRuina/timberjack v1.4.10 // rotates the audit file. It goes on where lumberjack v2 stopped in 2023, whose goroutine outlives its file; it brings zstd, which is not used
	github.com/go-json-experiment/json v1.27.2 // encoding/json/v2 as a module: unknown, repeated and other-case fields are refused
	github.com/go-openapi/errors v0.22.9
	github.com/go-openapi/loads v0.25.3
	github.com/go-openapi/runtime v0.33.4 // what the generated server and client run on, with the modules of its family around it
	github.com/go-openapi/runtime/server-middleware v0.33.4 // what a client accepts
	github.com/go-openapi/spec v1.0.1
	github.com/go-openapi/strfmt v0.27.4
	github.com/go-openapi/swag/cmdutils v0.29.2
	github.com/go-openapi/swag/conv v0.29.2
	github.com/go-openapi/swag/jsonutils v0.29.2
	github.com/go-openapi/swag/stringutils v0.29.2
	github.com/go-openapi/swag/typeutils v0.29.2
	github.com/go-openapi/validate v1.0.1
	github.com/google/btree v1.1.3 // an ordered map whose copies cost nothing, for the store in memory
	github.com/google/uuid v1.6.0 // the one spelling of instance UUIDs
	github.com/jessevdk/go-flags v1.6.1 // the command line
	github.com/mdlayher/vsock v1.4.0 // sockets between a VM and its host, which the standard library does not know
	github.com/prometheus/client_golang v1.25.0 // counts, and writes the counts as every Prometheus reads them
	github.com/swaggest/swgui v1.8.5 // Swagger UI to serve at /docs without a CDN: its files are in the binary
	github.com/vmware/govmomi v0.56.0 // the vSphere API, and the simulator that is the embedded default
	go.etcd.io/bbolt v1.5.0 // the embedded store engine
	golang.org/x/crypto v0.58.0 // NaCl secretbox, for the secret values of a key set
	golang.org/x/sync v0.24.0 // a semaphore of bytes, for what a guest may send ahead, and for documents that are worked on
	golang.org/x/time v0.16.0 // the rate of --push-rate, and of what a guest may ask
)

// Of the guest's agent alone (cmd/tether).
require (
	github.com/creack/pty v1.1.24 // terminals of sessions
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae // asks for addresses; it makes no releases, and is worked on
	github.com/moby/sys/mount v0.3.5 // the options of mount(8) as the kernel takes them
	github.com/moby/sys/mountinfo v0.7.2 // what is mounted already
	github.com/moby/sys/user v0.5.0 // users and groups of the guest's own lists, without cgo
	github.com/vishvananda/netlink v1.3.1 // addresses and routes
	golang.org/x/sys v0.49.0
)

// Of the VMs that the demo and the tests boot alone.
require (
	github.com/u-root/u-root v0.16.0 // writes an initramfs
	github.com/ulikunitz/xz v0.5.17 // opens kernel modules, which Debian compresses since its release 13
)

// Of the tests alone.
require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0 // drives the browser that reads /docs
	github.com/getkin/kin-openapi v0.153.0 // a second opinion on the contract, which shares no code with the server
	go.yaml.in/yaml/v3 v3.0.5 // reads the alert rules
	golang.org/x/tools v0.52.0 // stories of the reconciler, as txtar files
	pgregory.net/rapid v1.3.0 // property tests of the codec
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-openapi/analysis v1.0.1 // indirect
	github.com/go-openapi/jsonpointer v1.0.2 // indirect
	github.com/go-openapi/jsonreference v1.0.3 // indirect
	github.com/go-openapi/swag/fileutils v0.29.2 // indirect
	github.com/go-openapi/swag/loading v0.29.2 // indirect
	github.com/go-openapi/swag/mangling v0.29.2 // indirect
	github.com/go-openapi/swag/pools v0.29.2 // indirect
	github.com/go-openapi/swag/yamlutils v0.29.2 // indirect
	github.com/go-viper/mapstructure/v2 v2.5.0 // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/klauspost/compress v1.20.1 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/mdlayher/packet v1.1.2 // indirect
	github.com/mdlayher/socket v0.8.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/oklog/ulid/v2 v2.1.2 // indirect
	github.com/pierrec/lz4/v4 v4.1.22 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	github.com/u-root/uio v0.0.0-20240224005618-d2acac8f3701 // indirect
	github.com/vearutop/statigz v1.4.0 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel v1.47.0 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.opentelemetry.io/otel/trace v1.47.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
