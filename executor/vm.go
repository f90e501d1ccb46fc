package executor

import "net/url"

// ContainerVM is what is known of an executor's VM that no guest ever sees: the
// complement of ExecutorConfig. None of it is encoded into the VM.
type ContainerVM struct {
	// Version of the bootstrap image that the VM boots from.
	Version string `json:"version,omitempty"`
	// Aliases maps names for the VM to unambiguous ones.
	Aliases map[string]string `json:"aliases,omitempty"`
	// Interaction is where the guest's agent connects to be attached to, such as tcp://host:2377.
	Interaction *url.URL `json:"interaction,omitempty"`
	// AgentKey is the host key of the interaction service. A secret.
	AgentKey []byte `json:"agentKey,omitempty"`
}
