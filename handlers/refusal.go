package handlers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "github.com/go-openapi/errors"
	"github.com/go-openapi/strfmt"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
)

// refusal says what the runtime refuses a request for, before any handler sees it: false when err is nothing of that kind.
func refusal(err error) (*models.Problem, bool) {
	var violations executor.Faults
	status := http.StatusUnprocessableEntity
	for _, e := range flatten(err) {
		if parse, ok := errors.AsType[*apierrors.ParseError](e); ok && parse.In == "body" {
			refused, ok := errors.AsType[*refusedDocument](parse.Reason)
			if !ok {
				return unreadable(parse.Reason), true
			}
			violations = append(violations, refused.faults...)
			continue
		}
		api, ok := errors.AsType[apierrors.Error](e)
		if !ok {
			return nil, false
		}
		code := int(api.Code())
		fault, ok := violation(e)
		if !ok {
			return problem(code, "", api.Error()), true // there is one such thing at a time: 404, 405, 406, 415
		}
		if fault.where != "body" {
			status = http.StatusBadRequest
		}
		violations = append(violations, fault.Fault)
	}
	if len(violations) == 0 {
		return nil, false
	}
	if status == http.StatusBadRequest {
		return (&requestError{violations}).problem(), true
	}
	return invalid(violations), true
}

// flatten lists the errors of which err is made, each once.
func flatten(err error) []error {
	composite, ok := errors.AsType[*apierrors.CompositeError](err)
	if !ok || len(composite.Errors) == 0 {
		return []error{err}
	}
	var list []error
	for _, e := range composite.Errors {
		if e != nil {
			list = append(list, flatten(e)...)
		}
	}
	return list
}

// violated is a constraint of the specification that a part of the request does not keep to.
type violated struct {
	executor.Fault
	where string
}

// violation reads what the generated validation says. Its texts begin with where the fault is, which the field says.
func violation(err error) (violated, bool) {
	if parse, ok := errors.AsType[*apierrors.ParseError](err); ok {
		return violated{executor.Fault{Field: parse.Name, Message: "cannot be read"}, parse.In}, true
	}
	v, ok := errors.AsType[*apierrors.Validation](err)
	if !ok || v.Code() == http.StatusUnsupportedMediaType || v.Code() == http.StatusNotAcceptable {
		return violated{}, false
	}
	text := v.Error()
	for _, prefix := range []string{v.Name + " in " + v.In + " ", v.Name + " "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text = strings.TrimSuffix(text, fmt.Sprintf(": %q", v.Value)) // who sent it knows it, and nobody else is to
	field := strings.TrimPrefix(strings.TrimPrefix(v.Name, "body"), ".")
	if field == "" {
		text = "a document " + text
	}
	return violated{executor.Fault{Field: field, Message: text}, v.In}, true
}

// maxDepth is more levels than any document has. The decoder itself goes on to ten thousand.
const maxDepth = 100

// unreadable says why a body is no document of the API.
func unreadable(err error) *models.Problem {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "", fmt.Sprintf("the body has more than %d bytes", large.Limit))
	}
	fault := executor.Fault{Message: "must be a JSON object"}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		fault = executor.Fault{Field: dotted(syntax.JSONPointer), Message: "is not JSON here, at byte " + fmt.Sprint(syntax.ByteOffset)}
		switch {
		case strings.Count(string(syntax.JSONPointer), "/") > maxDepth:
			fault.Message = "is nested more deeply than any document of the API"
		case errors.Is(syntax, jsontext.ErrDuplicateName):
			fault.Message = "appears twice"
		}
	} else if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		fault = executor.Fault{Field: dotted(semantic.JSONPointer), Message: "must be " + jsonType(semantic.GoType)}
		switch {
		case errors.Is(semantic, errLongName):
			return invalid(executor.Faults{{Field: fault.Field, Message: errLongName.Error()}})
		case errors.Is(semantic, json.ErrUnknownName):
			fault.Message = "is not a field of this document"
		}
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		fault.Message = "ends too early"
	}
	p := problem(http.StatusBadRequest, "", "the body cannot be read: "+executor.Faults{fault}.Error())
	p.Errors = fieldErrors(executor.Faults{fault})
	return p
}

// dotted gives a JSON pointer as the path that all other errors use.
func dotted(p jsontext.Pointer) string { return executor.Path(slices.Collect(p.Tokens())...) }

// jsonType says in words what a Go type is in JSON.
func jsonType(t reflect.Type) string {
	switch t {
	case nil:
		return "something else"
	case reflect.TypeFor[time.Time](), reflect.TypeFor[*time.Time]():
		return "an RFC 3339 time such as 2026-01-02T03:04:05Z"
	case reflect.TypeFor[strfmt.Base64](), reflect.TypeFor[*strfmt.Base64]():
		return "base64"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64, reflect.Uint64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}
