package executor

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
)

// Redacted stands in a document for a secret that its reader may not see, in every place as one that could stand there: as user
// information of a URL, nfs://redacted@host/export, and as base64. Written back it means the secret that is stored.
const Redacted = "redacted"

// placeholder is Redacted as a Secret: the six bytes that it means in base64.
var placeholder = func() Secret {
	b, err := base64.StdEncoding.DecodeString(Redacted)
	if err != nil {
		panic(err) // eight letters are base64
	}
	return b
}()

// Redact gives the placeholder in place of a secret that is set.
func (s Secret) Redact() Secret {
	if len(s) == 0 {
		return s
	}
	return slices.Clone(placeholder)
}

// Redact gives the source with the placeholder in place of credentials.
func (s Source) Redact() Source {
	s.User = redactUser(s.User)
	return s
}

// Redact gives the URL with the placeholder in place of user information.
func (u URL) Redact() URL {
	u.User = redactUser(u.User)
	return u
}

func redactUser(u *url.Userinfo) *url.Userinfo {
	if u == nil {
		return nil
	}
	return url.User(Redacted)
}

// HoldsSecrets reports whether a guest that is given the executor is given secrets.
func (c *ExecutorConfig) HoldsSecrets() bool {
	if len(c.Key) > 0 {
		return true
	}
	for _, m := range c.Mounts {
		if m.Source.User != nil {
			return true
		}
	}
	return false
}

// Restore puts the secrets of old, the executor as it is stored, in place of the placeholders that c has. A placeholder that means none of
// them is a fault: credentials go nowhere but to the source that they were given for. With an empty old every placeholder is one.
func (c *ExecutorConfig) Restore(old *ExecutorConfig) (faults Faults) {
	c.Key = restoreKey("key", c.Key, old.Key, true, &faults)
	for _, name := range slices.Sorted(maps.Keys(c.Mounts)) {
		m, had := c.Mounts[name], old.Mounts[name]
		if m.Source.User == nil {
			continue
		}
		m.Source.User = restoreUser(Path("mounts", name, "source"), m.Source.User, had.Source.User, m.Source.String() == had.Source.String(), otherSource, &faults)
		c.Mounts[name] = m
	}
	return faults
}

// Restore is that of what is known of a VM; same says whether old is about the same VM. The agent key, too, is of use at the address alone that
// it was given for.
func (m *ContainerVM) Restore(old *ContainerVM, same bool) (faults Faults) {
	at, was := &m.Interaction, &old.Interaction
	at.User = restoreUser("interaction", at.User, was.User, same && at.String() == was.String(), otherVM, &faults)
	m.AgentKey = restoreKey("agentKey", m.AgentKey, old.AgentKey, same && at.text() == was.text(), &faults)
	return faults
}

// What is wrong with a placeholder.
const (
	noneStored  = `must be given: there is none stored that "` + Redacted + `" could stand for`
	otherSource = `must be given again with its credentials: "` + Redacted + `" stands for those of another source`
	otherVM     = `must be given again: "` + Redacted + `" stands for what is stored of another VM or address`
	notAUser    = `must not have a user "` + Redacted + `" with a password: alone it stands for credentials that are stored`
)

// restoreUser gives the user information that is meant, with which all the rest of a URL is the same as stored, or not.
func restoreUser(field string, given, stored *url.Userinfo, same bool, elsewhere string, faults *Faults) *url.Userinfo {
	switch {
	case given == nil || given.Username() != Redacted:
	case same && stored != nil && *stored == *given: // nothing is changed
	case *given != *url.User(Redacted):
		faults.Add(field, notAUser)
	case stored == nil:
		faults.Add(field, noneStored)
	case !same:
		faults.Add(field, elsewhere)
	default:
		return stored
	}
	return given
}

// restoreKey gives the key that is meant, of which all that it belongs to is the same as stored, or not.
func restoreKey(field string, given, stored Secret, same bool, faults *Faults) Secret {
	switch {
	case !slices.Equal(given, placeholder):
	case same && slices.Equal(given, stored): // nothing is changed
	case len(stored) == 0:
		faults.Add(field, noneStored)
	case !same:
		faults.Add(field, otherVM)
	default:
		return slices.Clone(stored)
	}
	return given
}
