package apiclient

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/vmexecutor/config-server/models"
)

// Problem gives the problem document that an error of any operation carries; nil when the server was not reached, or
// the error is another. It is safe to log where the error itself is not: generated errors print what they carry.
func Problem(err error) *models.Problem {
	p, ok := errors.AsType[interface {
		error
		GetPayload() *models.Problem
	}](err)
	if !ok {
		return nil
	}
	return p.GetPayload()
}

// IsStatus reports whether an error is the server's answer with an HTTP status: also with one that carries no problem
// document, as 304 Not Modified.
func IsStatus(err error, status int) bool {
	answer, ok := errors.AsType[interface {
		error
		IsCode(int) bool
	}](err)
	return ok && answer.IsCode(status)
}

// Describe gives an error in one line: what the server says of it, with the fields at fault.
func Describe(err error) string {
	p := Problem(err)
	switch {
	case err == nil:
		return ""
	case p == nil:
		return err.Error()
	case len(p.Errors) == 0 && p.Detail == "":
		return p.Title
	case len(p.Errors) == 0:
		return p.Title + ": " + p.Detail
	}
	var b strings.Builder
	b.WriteString(p.Title)
	for i, f := range p.Errors {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		if f.Field != "" {
			b.WriteString(f.Field + " ")
		}
		b.WriteString(f.Message)
	}
	return b.String()
}

// MergePatch makes the body of a PATCH of anything that marshals to a JSON object, such as a map[string]any; nil in it removes a field.
func MergePatch(changes any) (json.RawMessage, error) { return json.Marshal(changes) }
