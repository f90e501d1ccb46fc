package handlers

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/extraconfig"
)

// patched gives what a document becomes by a merge patch, which is body's tree. Its errors are those of a body that holds the result,
// which is not validated yet.
func patched[M any](document *M, body json.RawMessage, patch any) (*M, error) {
	if err := knownFields(body, new(M)); err != nil {
		return nil, unreadableBody(err)
	}
	text := &bytes.Buffer{}
	if err := plainJSON.Produce(text, document); err != nil {
		return nil, err
	}
	target, err := tree(text.Bytes())
	if err != nil {
		return nil, err
	}
	merged, err := json.Marshal(mergePatch(target, patch))
	if err != nil {
		return nil, err
	}
	var result M
	if err := strictJSON.Consume(bytes.NewReader(merged), &result); err != nil {
		return nil, unreadableBody(err)
	}
	return &result, nil
}

// tree reads JSON with its numbers as they are written.
func tree(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// mergePatch is MergePatch of RFC 7396, section 2. (The libraries at hand drop null from lists, where it has no meaning of its own.)
// It changes target.
func mergePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result, ok := target.(map[string]any)
	if !ok {
		result = make(map[string]any, len(changes))
	}
	for name, value := range changes {
		if value == nil {
			delete(result, name)
		} else {
			result[name] = mergePatch(result[name], value)
		}
	}
	return result
}

// names reports whether a merge patch says something of a field, were it null.
func names(patch any, field string) bool {
	changes, _ := patch.(map[string]any)
	_, named := changes[field]
	return named
}

// reportPaths are the paths of the fields that guests report, in steps; * is any name.
type reportPaths [][]string

func reportPathsOf(fields []extraconfig.Field) (paths reportPaths) {
	for _, f := range fields {
		if f.Scope == extraconfig.ReadWrite {
			path, _, _ := strings.Cut(f.Path, "[]") // a list is one field
			paths = append(paths, strings.Split(path, "."))
		}
	}
	return paths
}

// named reports whether a merge patch of what is found at a path names a read-write field.
func (p reportPaths) named(patch any, at ...string) bool {
	below, whole, _ := p.below(at)
	if whole || len(below) == 0 {
		return whole
	}
	changes, _ := patch.(map[string]any)
	for name, value := range changes {
		if below.named(value, append(slices.Clone(at), name)...) {
			return true
		}
	}
	return false
}

// below gives the paths that go on at a place, and whether their next step is any name; whole is true of a place that is a field itself.
func (p reportPaths) below(at []string) (below reportPaths, whole, entries bool) {
	for _, path := range p {
		switch {
		case len(path) < len(at) || !match(path[:len(at)], at):
		case len(path) == len(at):
			whole = true
		default:
			below, entries = append(below, path), entries || path[len(at)] == "*"
		}
	}
	return below, whole, entries
}

func match(pattern, steps []string) bool {
	for i := range pattern {
		if pattern[i] != "*" && pattern[i] != steps[i] {
			return false
		}
	}
	return true
}
