package executor

import (
	"fmt"
	"strings"
)

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

// told is how many faults an error's text has, of documents that may have one in every few bytes.
const told = 10

// Error lists the faults, if they are few: otherwise the first ones, and how many more there are.
func (f Faults) Error() string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == told {
			fmt.Fprintf(&b, "and %d more", len(f)-told)
			break
		}
		x = x.Short()
		if x.Field != "" {
			b.WriteString(x.Field + ": ")
		}
		b.WriteString(x.Message)
	}
	return b.String()
}

// maxText is the longest field and message that Short leaves whole, in bytes. No path of valid names is longer.
const maxText = 512

// Short is the fault with what is too long to be told cut: a field may have any name in a document that is not valid.
func (f Fault) Short() Fault { return Fault{Field: cut(f.Field), Message: cut(f.Message)} }

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "..."
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
