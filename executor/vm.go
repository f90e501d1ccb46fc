package executor

import (
	"errors"
	"net/url"
)

// ContainerVM is what is known of an executor's VM that no guest ever sees: the
// complement of ExecutorConfig. None of it is encoded into the VM.
type ContainerVM struct {
	// Version of the bootstrap image that the VM boots from.
	Version string `json:"version,omitempty"`
	// Aliases maps names for the VM to unambiguous ones.
	Aliases map[string]string `json:"aliases,omitempty"`
	// Interaction is where the guest's agent connects to be attached to, such as tcp://host:2377.
	Interaction URL `json:"interaction,omitzero"`
	// AgentKey is the host key of the interaction service. A secret.
	AgentKey Secret `json:"agentKey,omitempty"`
}

// URL is an address of a service. It prints without a password; MarshalText has it.
type URL url.URL

// ParseURL reads a URL that names a scheme and a host. Its error does not repeat it.
func ParseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || checkRunes(s) != nil {
		return URL{}, errors.New("must be a URL such as tcp://host:2377")
	}
	return URL(*u), nil
}

// IsZero reports whether there is no URL.
func (u URL) IsZero() bool { return u == URL{} }

// String gives the URL with any user information left out, fit for a log.
func (u URL) String() string {
	u.User = nil
	return u.text()
}

// text is the URL in full.
func (u URL) text() string {
	v := url.URL(u)
	return v.String()
}

// MarshalText gives the URL in full.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.text()), nil }

// UnmarshalText is ParseURL; nothing is no URL.
func (u *URL) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = URL{}
		return nil
	}
	parsed, err := ParseURL(string(text))
	if err == nil {
		*u = parsed
	}
	return err
}
