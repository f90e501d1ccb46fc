package handlers

import (
	"strings"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// etag is the strong entity tag of a state (RFC 9110, section 8.8.3): two parts in quotes.
func etag(t store.Tag) string { return `"` + t.String() + `"` }

// known reports whether a client that sent If-None-Match has this state already. Weak comparison is right there
// (RFC 9110, section 13.1.2).
func known(ifNoneMatch *string, t store.Tag) bool {
	if ifNoneMatch == nil {
		return false
	}
	for tag := range strings.SplitSeq(*ifNoneMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag(t) {
			return true
		}
	}
	return false
}

// conditions turns the headers of a write into what must hold for it. entry names the entry of an executor that they are about, and is
// empty for the resource itself. reports: a state that differs in the guest's reports alone is another one.
func conditions(entry string, ifMatch, ifNoneMatch *string, reports bool) ([]store.WriteOption, error) {
	var options []store.WriteOption
	if ifMatch != nil {
		match, err := parseMatch(*ifMatch)
		if err != nil {
			return nil, err
		}
		match.Reports = reports
		options = append(options, store.If(store.Precondition{Entry: entry, Match: match}))
	}
	if ifNoneMatch != nil { // the specification lets only * through
		options = append(options, store.If(store.Precondition{Entry: entry, Absent: true}))
	}
	return options, nil
}

// parseMatch reads If-Match. A tag that cannot be one of ours is nobody's, and neither is a weak one (RFC 9110, section
// 13.1.1). What is no entity tag at all is refused.
func parseMatch(ifMatch string) (*store.Match, error) {
	match := &store.Match{}
	for text := range strings.SplitSeq(ifMatch, ",") {
		text = strings.TrimSpace(text)
		quoted, weak := strings.CutPrefix(text, "W/")
		switch {
		case text == "*":
			match.Any = true
		case len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"':
			return nil, &requestError{executor.Faults{{Field: "If-Match", Message: `must be * or entity tags in quotes, such as "7-9"`}}}
		case !weak:
			if t, ok := store.ParseTag(quoted[1 : len(quoted)-1]); ok {
				match.Tags = append(match.Tags, t)
			}
		}
	}
	return match, nil
}

// unique turns the query of a write into an option.
func unique(field *string) []store.WriteOption {
	if field == nil { // the specification lets only name through
		return nil
	}
	return []store.WriteOption{store.UniqueName()}
}
