// Package executor holds the domain types: the configuration of a container
// that runs as a virtual machine of its own, and the rules that make one valid.
//
// The types carry two sets of struct tags. `json` names a field in API documents,
// stored records and error messages. `vic`, `scope` and `key` say where the field
// lives in a VM's key/value set and who may see and change it there; package
// extraconfig reads them. The package imports the standard library alone, and
// everything else in the project may import it.
package executor

// Common identifies a thing to people and to programs.
type Common struct {
	// ExecutionEnvironment names the environment that the thing lives in, a cluster or a host.
	ExecutionEnvironment string `json:"executionEnvironment,omitempty"`
	// ID is unique among the things of its kind.
	ID string `vic:"0.1" scope:"read-only" key:"id" json:"id,omitempty"`
	// Name is what people call it; it need not be unique.
	Name string `vic:"0.1" scope:"read-only" key:"name" json:"name,omitempty"`
	// Notes are for operators. No guest sees them.
	Notes string `vic:"0.1" scope:"hidden" key:"notes" json:"notes,omitempty"`
}

// ExecutorConfig is the configuration of one executor: the owner of a shared
// filesystem environment, delivered to one container VM.
type ExecutorConfig struct {
	Common `vic:"0.1" scope:"read-only" key:"common"`

	// CreateTime says when the container was created.
	CreateTime UnixNano `vic:"0.1" scope:"read-write" key:"createtime" json:"createTime,omitzero"`

	// Diagnostics of the executor itself, not of its sessions.
	Diagnostics Diagnostics `vic:"0.1" scope:"read-only" key:"diagnostics" json:"diagnostics,omitzero"`

	// Sessions are the process trees that live as long as the executor, by session id.
	Sessions map[string]*SessionConfig `vic:"0.1" scope:"read-only" key:"sessions" json:"sessions,omitempty"`

	// Execs are sessions of one boot of the VM, by session id.
	Execs map[string]*SessionConfig `vic:"0.1" scope:"read-only,non-persistent" key:"execs" json:"execs,omitempty"`

	// Mounts are the file systems to attach, by a name of the client's choice.
	Mounts map[string]MountSpec `vic:"0.1" scope:"read-only" key:"mounts" json:"mounts,omitempty"`

	// Networks are the executor's endpoints, by endpoint name.
	Networks map[string]*NetworkEndpoint `vic:"0.1" scope:"read-only" key:"networks" json:"networks,omitempty"`

	// Key is the private host key that the guest presents when clients attach, in the client's format.
	Key Secret `vic:"0.1" scope:"read-only" key:"key" json:"key,omitempty"`

	// LayerID is the image layer that backs the root file system.
	LayerID string `vic:"0.1" scope:"read-only" key:"layerid" json:"layerId,omitempty"`
	// ImageID is the image that the executor was made from.
	ImageID string `vic:"0.1" scope:"read-only" key:"imageid" json:"imageId,omitempty"`

	// Annotations are for clients: labels, a daemon's bookkeeping. No guest sees them.
	Annotations map[string]string `vic:"0.1" scope:"hidden" key:"annotations" json:"annotations,omitempty"`

	// RepoName is the repository reference that the image was asked for by.
	RepoName string `vic:"0.1" scope:"read-only" key:"repo" json:"repoName,omitempty"`

	// Version is the build that made the executor.
	Version *Version `vic:"0.1" scope:"read-only" key:"version" json:"version,omitempty"`

	// AsymmetricRouting permits answers to leave by another interface than requests came in by.
	AsymmetricRouting bool `vic:"0.1" scope:"read-only" key:"asymrouting" json:"asymmetricRouting,omitempty"`

	// Hostname and Domainname are set in the guest.
	Hostname   string `vic:"0.1" scope:"read-only" key:"hostname" json:"hostname,omitempty"`
	Domainname string `vic:"0.1" scope:"read-only" key:"domainname" json:"domainname,omitempty"`
}

// Diagnostics steer what the guest tells about itself, and hold what it told.
type Diagnostics struct {
	// DebugLevel is 0 for none; higher levels say more.
	DebugLevel int `vic:"0.1" scope:"read-only" key:"debug" json:"debugLevel,omitempty"`
	// ResurrectionCount counts restarts. The guest reports it.
	ResurrectionCount int `vic:"0.1" scope:"read-write" key:"resurrections" json:"resurrectionCount,omitempty"`
	// ExitLogs tell of every exit. The guest reports them.
	ExitLogs []ExitLog `vic:"0.1" scope:"read-write" key:"exitlogs" json:"exitLogs,omitempty"`
	// SysLogConfig is where the guest's log goes; nil keeps it in the guest.
	SysLogConfig *SysLogConfig `vic:"0.1" scope:"read-only" key:"syslog" json:"sysLogConfig,omitempty"`
}

// Version describes a build.
type Version struct {
	Version       string `json:"version,omitempty"`
	GitCommit     string `json:"gitCommit,omitempty"`
	BuildDate     string `json:"buildDate,omitempty"`
	BuildNumber   string `json:"buildNumber,omitempty"`
	State         string `json:"state,omitempty"`
	PluginVersion int    `json:"pluginVersion,omitempty"`
}
