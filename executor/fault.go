package executor

import "strings"

// Fault is one thing that is wrong with a document.
type Fault struct {
	// Field is the path of the field in the API document, such as networks.ext.network.pools.0.
	Field string
	// Message says what must hold, in words fit for whoever wrote the document. It repeats no value.
	Message string
}

// Faults are all the things that are wrong with a document, in the order of its fields.
// As an error it is never empty: use Err.
type Faults []Fault

// Error lists every fault.
func (f Faults) Error() string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteString("; ")
		}
		if x.Field != "" {
			b.WriteString(x.Field + ": ")
		}
		b.WriteString(x.Message)
	}
	return b.String()
}

// Err is the faults as an error, nil when there are none.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Add notes that field must satisfy message.
func (f *Faults) Add(field, message string) { *f = append(*f, Fault{Field: field, Message: message}) }

// Path joins the steps to a field.
func Path(steps ...string) string {
	var b strings.Builder
	for _, s := range steps {
		if s == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String()
}
