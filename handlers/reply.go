package handlers

import (
	"net/http"
	"slices"
)

// smallAnswer is the longest that counts for nothing, in bytes: its client need not read for it to be gone, and connections are counted.
const smallAnswer = 16 << 10

// reply is an operation's answer, other than a stream. It is encoded whole before any of it is written (plainJSON). From then on it takes
// nothing but its own length, however slowly it is read: what the operation had is for others.
type reply struct {
	http.ResponseWriter
	edge    *edge
	request *http.Request
	made    func() // gives back what the operation had of what is shared; more than once is once

	status  int   // that is to be written with the body; 0 for none
	counted int64 // of the answers that are being written
	begun   bool
	refused bool // something else was written
}

// Unwrap lets http.ResponseController reach what is below.
func (p *reply) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader waits for the body.
func (p *reply) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

// Write writes the body, or says that there is too much of it at the moment. A change that was made is told in any case.
func (p *reply) Write(body []byte) (int, error) {
	if !p.begun {
		p.begin(len(body))
	}
	if p.refused {
		return len(body), nil
	}
	return p.ResponseWriter.Write(body)
}

func (p *reply) begin(size int) {
	p.begun = true
	p.made()
	if size > smallAnswer && !requestOf(p.request).head {
		answers, caller := p.edge.shares.answers, requestOf(p.request).caller.Name
		n := min(int64(size), answers.each-1) // so that the longest of all can be had, too, and changes beside it
		switch {
		case !slices.Contains(reading, p.request.Method):
			answers.add(caller, n)
		case !answers.take(caller, n):
			p.refused = true
			p.Header().Del("ETag")
			p.edge.serve(p.ResponseWriter, p.request, manyAnswers)
			return
		}
		p.counted = n
	}
	if p.status != 0 {
		p.ResponseWriter.WriteHeader(p.status)
	}
}

// end writes an answer that has no body.
func (p *reply) end() {
	if !p.begun && p.status != 0 {
		p.ResponseWriter.WriteHeader(p.status)
	}
}

// give gives back all that the answer took.
func (p *reply) give() {
	p.made()
	p.edge.shares.answers.give(requestOf(p.request).caller.Name, p.counted)
}
