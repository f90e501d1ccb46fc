package executor

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "CANARY-which-must-not-be-seen-32"

// printed is a value by every verb that might show what is in it, and as both kinds of log have it.
func printed(v any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x %X %d %t %T", v, v, v, v, v, v, v, v, v, v)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}

// forms are a secret as it could be recognised.
func forms(secret string) []string {
	numbers := strings.Trim(fmt.Sprint([]byte(secret[:8])), "[]")
	return []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:40], hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), numbers, fmt.Sprintf("%#v", []byte(secret[:8]))[7:40]}
}

// TestSecretsDoNotPrint: neither by themselves nor as a part of what they belong to.
func TestSecretsDoNotPrint(t *testing.T) {
	source := Source{Scheme: "nfs", Host: "filer", Path: "/export"}
	withUser, err := ParseSource("nfs://" + canary + ":" + canary + "@filer/export")
	if err != nil {
		t.Fatal(err)
	}
	address, err := ParseURL("tcp://" + canary + ":" + canary + "@host:2377")
	if err != nil {
		t.Fatal(err)
	}
	mount := MountSpec{Source: withUser, Path: "/data"}
	config := ExecutorConfig{Common: Common{ID: "web-1"}, Key: Secret(canary), Mounts: map[string]MountSpec{"data": mount}}
	vm := ContainerVM{Interaction: address, AgentKey: Secret(canary)}
	inside := struct {
		M *MountSpec
		C *ExecutorConfig
		V *ContainerVM
		S *Source
	}{&mount, &config, &vm, &withUser}
	if text := fmt.Sprintf("%v %s %q %x %t", inside, inside, inside, inside, inside); strings.Contains(text, canary) || strings.Contains(text, "[67 65 ") {
		t.Errorf("what is pointed to shows: %s", text)
	}
	for _, v := range []any{Secret(canary), withUser, &withUser, address, &address, mount, &mount, config, &config, vm, &vm} {
		text := printed(v)
		for _, form := range forms(canary) {
			if strings.Contains(text, form) {
				t.Errorf("a %T shows %q: %s", v, form, text)
			}
		}
	}
	for text, v := range map[string]any{"[secret]": Secret(canary), "filer/export": withUser, "host:2377": address, "web-1": config, "/data": mount} {
		if shown := printed(v); strings.Count(shown, text) < 3 {
			t.Errorf("a %T does not say %s: %s", v, text, shown)
		}
	}
	if text, err := json.Marshal(config.Key); err != nil || string(text) != `"`+base64.StdEncoding.EncodeToString([]byte(canary))+`"` {
		t.Errorf("a document has %s, %v", text, err)
	}
	if source.Redact() != source || (URL{}).Redact() != (URL{}) || Secret(nil).Redact() != nil {
		t.Error("there is nothing to redact, and something was")
	}
	if text, err := withUser.Redact().MarshalText(); err != nil || string(text) != "nfs://redacted@filer/export" {
		t.Errorf("a source is redacted as %s, %v", text, err)
	}
	if text, err := json.Marshal(config.Key.Redact()); err != nil || string(text) != `"redacted"` {
		t.Errorf("a key is redacted as %s, %v", text, err)
	}
}

// TestRestore: a placeholder is what is stored for the same place, and a fault everywhere else.
func TestRestore(t *testing.T) {
	stored := map[string]string{"data": "nfs://u:p@filer/export?ro", "open": "nfs://filer/open", "port": "smb://u@filer:445/x"}
	for _, c := range []struct{ mount, source, want string }{
		{"data", "nfs://redacted@filer/export?ro", "nfs://u:p@filer/export?ro"},
		{"data", "NFS://%72edacted@filer/export?ro", "nfs://u:p@filer/export?ro"}, // the same URL, spelled in another way
		{"data", "nfs://filer/export?ro", "nfs://filer/export?ro"},                // taken away
		{"data", "nfs://a:redacted@evil/x", "nfs://a:redacted@evil/x"},            // a password like any
		{"port", "smb://redacted@filer:445/x", "smb://u@filer:445/x"},
		{"data", "nfs://redacted@other/export?ro", otherSource},
		{"data", "nfs://redacted@FILER/export?ro", otherSource},
		{"data", "nfs://redacted@filer:2049/export?ro", otherSource},
		{"data", "nfs://redacted@filer/export", otherSource},
		{"data", "nfs://redacted@filer/export?ro&x", otherSource},
		{"data", "nfs://redacted@filer/export/?ro", otherSource},
		{"data", "nfs://redacted@filer/expor%74/..?ro", otherSource},
		{"data", "smb://redacted@filer/export?ro", otherSource},
		{"port", "smb://redacted@filer/x", otherSource},
		{"data", "nfs://redacted:x@filer/export?ro", notAUser},
		{"data", "nfs://redacted:@filer/export?ro", notAUser},
		{"open", "nfs://redacted@filer/open", noneStored},
		{"renamed", "nfs://redacted@filer/export?ro", noneStored},
		{"DATA", "nfs://redacted@filer/export?ro", noneStored},
		{"port", "nfs://redacted@filer/export?ro", otherSource}, // from one mount to another
	} {
		old := &ExecutorConfig{Mounts: map[string]MountSpec{}}
		for name, source := range stored {
			old.Mounts[name] = MountSpec{Source: sourceOf(t, source)}
		}
		next := &ExecutorConfig{Mounts: map[string]MountSpec{c.mount: {Source: sourceOf(t, c.source)}}}
		faults := next.Restore(old)
		if len(faults) == 0 {
			if got := next.Mounts[c.mount].Source.text(); got != c.want {
				t.Errorf("%s %s is %s, want %s", c.mount, c.source, got, c.want)
			}
		} else if len(faults) != 1 || faults[0] != (Fault{"mounts." + c.mount + ".source", c.want}) {
			t.Errorf("%s %s: %v", c.mount, c.source, faults)
		}
	}
	// What was stored before there were placeholders stays as it is.
	old := &ExecutorConfig{Key: placeholder, Mounts: map[string]MountSpec{"m": {Source: sourceOf(t, "nfs://redacted:x@h/")}, "n": {Source: sourceOf(t, "nfs://redacted@h/")}}}
	if next := old.Clone(); next.Restore(old) != nil || next.Mounts["m"].Source.text() != "nfs://redacted:x@h/" {
		t.Error("an executor is not what it was")
	}
	if faults := old.Clone().Restore(&ExecutorConfig{}); len(faults) != 3 || faults[0].Field != "key" {
		t.Errorf("at creation: %v", faults)
	}
	if next := (&ExecutorConfig{Key: placeholder}); next.Restore(&ExecutorConfig{Key: Secret("k")}) != nil || string(next.Key) != "k" {
		t.Errorf("the key is not the one that is stored")
	}
}

// TestRestoreVM: what is told of a VM belongs to the VM and to the address.
func TestRestoreVM(t *testing.T) {
	const at, redacted = "tcp://u:p@host:1", "tcp://redacted@host:1"
	for _, c := range []struct {
		interaction, key string
		same             bool
		want             string
	}{
		{redacted, Redacted, true, at + " k"},
		{at, Redacted, true, at + " k"},
		{redacted, "", true, at},
		{redacted, "bmV3", true, at + " new"},
		{"tcp://other:1", "bmV3", false, "tcp://other:1 new"},
		{redacted, Redacted, false, "interaction agentKey"},
		{at, Redacted, false, "agentKey"},
		{"tcp://redacted@host:2", Redacted, true, "interaction agentKey"},
		{"tcp://host:1", Redacted, true, "agentKey"},
		{"tcp://a:b@host:1", Redacted, true, "agentKey"},
		{"tcp://other:1", Redacted, true, "agentKey"},
		{"", Redacted, true, "agentKey"},
		{"tcp://redacted:x@host:1", "", true, "interaction"},
	} {
		m := &ContainerVM{Interaction: urlOf(t, c.interaction)}
		if err := json.Unmarshal([]byte(`"`+c.key+`"`), (*[]byte)(&m.AgentKey)); err != nil {
			t.Fatal(err)
		}
		faults := m.Restore(&ContainerVM{Interaction: urlOf(t, at), AgentKey: Secret("k")}, c.same)
		got := strings.TrimSpace(m.Interaction.text() + " " + string(m.AgentKey))
		if len(faults) > 0 {
			got = ""
			for _, f := range faults {
				got = strings.TrimSpace(got + " " + f.Field)
			}
		}
		if got != c.want {
			t.Errorf("%s %s %v: %s, want %s: %v", c.interaction, c.key, c.same, got, c.want, faults)
		}
	}
}

func sourceOf(t *testing.T, s string) Source {
	t.Helper()
	source, err := ParseSource(s)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func urlOf(t *testing.T, s string) (u URL) {
	t.Helper()
	if err := u.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return u
}
