package executor

import "time"

// SessionConfig is the root of a process tree inside an executor.
type SessionConfig struct {
	Common `vic:"0.1" scope:"read-only" key:"common"`

	// Detail are the times of the session's life. The guest reports them.
	Detail Detail `vic:"0.1" scope:"read-write" key:"detail" json:"detail,omitzero"`

	// Cmd is the process to start.
	Cmd Cmd `vic:"0.1" scope:"read-only" key:"cmd" json:"cmd,omitzero"`

	// Attach asks for the session's streams to be forwarded to a client.
	Attach bool `vic:"0.1" scope:"read-only" key:"attach" json:"attach,omitempty"`
	// OpenStdin keeps standard input open while no client is attached.
	OpenStdin bool `vic:"0.1" scope:"read-only" key:"openstdin" json:"openStdin,omitempty"`
	// RunBlock holds the process back until a client has attached.
	RunBlock bool `vic:"0.1" scope:"read-only" key:"runblock" json:"runBlock,omitempty"`
	// Active says whether the guest should run the session at all.
	Active bool `vic:"0.1" scope:"read-only" key:"active" json:"active,omitempty"`
	// Tty gives the process a terminal.
	Tty bool `vic:"0.1" scope:"read-only" key:"tty" json:"tty,omitempty"`

	// ExitStatus is the exit code of the last run. The guest reports it.
	ExitStatus int `vic:"0.1" scope:"read-write" key:"status" json:"exitStatus,omitempty"`
	// Started is "true" once the process runs, or says why it does not; empty means not tried yet.
	// The guest reports it.
	Started string `vic:"0.1" scope:"read-write" key:"started" json:"started,omitempty"`

	// Restart makes the guest start the process again when it exits.
	Restart bool `vic:"0.1" scope:"read-only" key:"restart" json:"restart,omitempty"`
	// StopSignal is the signal, by name or number, that asks the process to end.
	StopSignal string `vic:"0.1" scope:"read-only" key:"stopSignal" json:"stopSignal,omitempty"`

	// Diagnostics of this session.
	Diagnostics Diagnostics `vic:"0.1" scope:"read-only" key:"diagnostics" json:"diagnostics,omitzero"`

	// User and Group run the process, by name or number; empty is the image's default.
	User  string `vic:"0.1" scope:"read-only" key:"User" json:"user,omitempty"`
	Group string `vic:"0.1" scope:"read-only" key:"Group" json:"group,omitempty"`
}

// Cmd is a command line.
type Cmd struct {
	// Path is the file to execute.
	Path string `vic:"0.1" scope:"read-only" key:"Path" json:"path,omitempty"`
	// Args are the arguments, the program's own name first, as in execve(2).
	Args []string `vic:"0.1" scope:"read-only" key:"Args" json:"args,omitempty"`
	// Env entries are NAME=value.
	Env []string `vic:"0.1" scope:"read-only" key:"Env" json:"env,omitempty"`
	// Dir is the working directory.
	Dir string `vic:"0.1" scope:"read-only" key:"Dir" json:"dir,omitempty"`
}

// Detail are the times of a session, in whole seconds; zero is not yet.
type Detail struct {
	CreateTime UnixSeconds `vic:"0.1" scope:"read-write" key:"createtime" json:"createTime,omitzero"`
	StartTime  UnixSeconds `vic:"0.1" scope:"read-write" key:"starttime" json:"startTime,omitzero"`
	StopTime   UnixSeconds `vic:"0.1" scope:"read-write" key:"stoptime" json:"stopTime,omitzero"`
}

// ExitLog is one exit of a process.
type ExitLog struct {
	Time       time.Time `json:"time,omitzero"`
	ExitStatus int       `json:"exitStatus,omitempty"`
	Message    string    `json:"message,omitempty"`
}

// SysLogConfig is a syslog receiver.
type SysLogConfig struct {
	// Network is one of those that net.Dial knows: tcp, tcp6, udp, udp6.
	Network string `json:"network,omitempty"`
	// RAddr is host:port.
	RAddr string `json:"rAddr,omitempty"`
}
