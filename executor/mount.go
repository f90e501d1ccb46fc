package executor

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// MountSpec attaches a file system to a path inside the executor.
type MountSpec struct {
	// Source says what to mount.
	Source Source `vic:"0.1" scope:"read-only" key:"source" json:"source,omitzero"`
	// Path is where it appears in the executor: absolute, and distinct from every other mount's.
	Path string `vic:"0.1" scope:"read-only" key:"dest" json:"path,omitempty"`
	// Mode are mount options, as mount(8) takes them.
	Mode string `vic:"0.1" scope:"read-only" key:"mode" json:"mode,omitempty"`
	// CopyMode says whether to fill the mount from the image.
	CopyMode CopyMode `vic:"0.1" scope:"read-only" key:"copymode" json:"copyMode,omitzero"`
}

// Source is the URI of a mount: label://<disk label> or nfs://host/export?options.
// It may carry credentials, so it prints without them; MarshalText has them.
// The codec writes it as it writes a url.URL.
type Source url.URL

// ParseSource reads a source and brings it into canonical form. Its errors say what is
// wrong in plain words and never repeat the source, which may hold a password.
func ParseSource(s string) (Source, error) {
	if err := checkRunes(s); err != nil {
		return Source{}, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return Source{}, fmt.Errorf("must be a URI such as label:///data or nfs://host/export")
	}
	src := Source(*u)
	if strings.Contains(s, "#") {
		return Source{}, fmt.Errorf("must not have a fragment")
	}
	if err := src.check(); err != nil {
		return Source{}, err
	}
	if u.Host == "" && u.Scheme != "label" && !strings.HasPrefix(s[len(u.Scheme):], "://") {
		return Source{}, fmt.Errorf("must name a host or an empty one: %s://", u.Scheme)
	}
	if u.Scheme == "label" {
		return parseLabel(u)
	}
	return src, nil
}

// parseLabel brings label://x and label:///x to one form: the label as Path, without
// a slash, and nothing else.
func parseLabel(u *url.URL) (Source, error) {
	bad := errors.New("a label source is label:///<label>, without slash, port, query or user")
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		return Source{}, bad
	}
	label := strings.TrimPrefix(u.Path, "/")
	if u.Host != "" {
		if u.Path != "" {
			return Source{}, bad
		}
		label = u.Host
	}
	if label == "" || strings.Contains(label, "/") {
		return Source{}, bad
	}
	return Source{Scheme: "label", Path: label}, nil
}

// check holds for every source, parsed or built.
func (s Source) check() error {
	switch {
	case s.Scheme == "":
		return fmt.Errorf("must have a scheme such as label:// or nfs://")
	case s.Opaque != "":
		return fmt.Errorf("must have // after its scheme")
	case s.Fragment != "" || s.RawFragment != "":
		return fmt.Errorf("must not have a fragment")
	}
	return nil
}

// IsZero reports whether there is no source at all.
func (s Source) IsZero() bool { return s == Source{} }

// String gives the source with any password left out, fit for a log.
func (s Source) String() string {
	s.User = nil
	return s.text()
}

// text is the source in full, credentials included.
func (s Source) text() string {
	if s.Scheme == "label" && s.Host == "" {
		return "label:///" + url.PathEscape(s.Path)
	}
	u := url.URL(s)
	return u.String()
}

// MarshalText gives the source in full, credentials included.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.text()), nil }

// UnmarshalText is ParseSource.
func (s *Source) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Source{}
		return nil
	}
	parsed, err := ParseSource(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// CopyMode says whether a mount is filled from what the image holds at its path.
type CopyMode int

const (
	CopyUnset CopyMode = iota // the guest decides
	CopyNever                 // leave the mount as it is
	CopyNew                   // fill it when it is empty
)

var copyModes = []string{"", "never", "new"}

// String is the API's word for the mode.
func (m CopyMode) String() string { return word(copyModes, int(m)) }

// Valid reports whether there is such a mode; the codec asks when it reads one.
func (m CopyMode) Valid() bool { return 0 <= m && int(m) < len(copyModes) }

// MarshalText gives "never" or "new", and nothing for a mode that is not set.
func (m CopyMode) MarshalText() ([]byte, error) { return marshalWord(copyModes, int(m)) }

// UnmarshalText reads what MarshalText writes.
func (m *CopyMode) UnmarshalText(text []byte) error {
	i, err := parseWord(copyModes, string(text))
	*m = CopyMode(i)
	return err
}
