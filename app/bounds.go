package app

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/vmexecutor/config-server/handlers"
)

// Bounds keep clients, slow, many or greedy ones, from taking the server away from others. Zero is the default.
type Bounds struct {
	MaxConnections          int `long:"max-connections" value-name:"N" default:"8192" description:"Connections in all"`
	MaxConnectionsPerClient int `long:"max-connections-per-client" value-name:"N" default:"4096" description:"Connections of one client: of an address, an IPv6 network of 64 bits, or a user at the unix socket"`

	MaxHeader int   `long:"max-header" value-name:"BYTES" default:"16384" description:"Longest request line and header"`
	MaxBody   int64 `long:"max-body" value-name:"BYTES" default:"1048576" description:"Longest body of a request"`

	MaxBodies  int64 `long:"max-bodies" value-name:"BYTES" default:"33554432" description:"Bodies that come in at a time; one caller has half at most"`
	MaxWork    int64 `long:"max-work" value-name:"BYTES" default:"4194304" description:"Bodies that are worked on at a time, which takes many times as much memory; others wait for their turn, and one caller has half at most"`
	MaxLists   int64 `long:"max-lists" value-name:"N" default:"8" description:"Lists, and pages of them, that are made at a time; others wait for their turn, and one caller has half at most"`
	MaxAnswers int64 `long:"max-answers" value-name:"BYTES" default:"67108864" description:"Answers of more than 16 KiB that clients have not read yet; one caller has half at most"`
	MaxStreams int64 `long:"max-streams" value-name:"N" default:"8192" description:"Streams, and requests that wait for a change; one caller has half at most"`

	HeaderTimeout time.Duration `long:"header-timeout" value-name:"DURATION" default:"10s" description:"Most time for a request's header to come in, and for a TLS handshake"`
	ReadTimeout   time.Duration `long:"read-timeout" value-name:"DURATION" default:"1m" description:"Most time for a whole request to come in"`
	WriteTimeout  time.Duration `long:"write-timeout" value-name:"DURATION" default:"2m" description:"Most time from a request's header to the end of its answer, other than of a stream, or of a request that waits for a change"`
	IdleTimeout   time.Duration `long:"idle-timeout" value-name:"DURATION" default:"2m" description:"Most time that a connection is kept open between two requests"`
}

func (b Bounds) orDefault() Bounds {
	return Bounds{
		MaxConnections: cmp.Or(b.MaxConnections, 8192), MaxConnectionsPerClient: cmp.Or(b.MaxConnectionsPerClient, 4096),
		MaxHeader: cmp.Or(b.MaxHeader, handlers.DefaultHeader), MaxBody: cmp.Or(b.MaxBody, handlers.DefaultBody),
		MaxBodies: cmp.Or(b.MaxBodies, handlers.DefaultBodies), MaxWork: cmp.Or(b.MaxWork, handlers.DefaultWork),
		MaxLists: cmp.Or(b.MaxLists, handlers.DefaultLists), MaxAnswers: cmp.Or(b.MaxAnswers, handlers.DefaultAnswers), MaxStreams: cmp.Or(b.MaxStreams, handlers.DefaultStreams),
		HeaderTimeout: cmp.Or(b.HeaderTimeout, 10*time.Second), ReadTimeout: cmp.Or(b.ReadTimeout, time.Minute),
		WriteTimeout: cmp.Or(b.WriteTimeout, 2*time.Minute), IdleTimeout: cmp.Or(b.IdleTimeout, 2*time.Minute),
	}
}

// validate refuses bounds that would let nobody in.
func (b Bounds) validate() error {
	var errs []error
	for flag, value := range map[string]int64{
		"--max-connections": int64(b.MaxConnections), "--max-connections-per-client": int64(b.MaxConnectionsPerClient), "--max-lists": b.MaxLists, "--max-answers": b.MaxAnswers, "--max-streams": b.MaxStreams,
		"--header-timeout": int64(b.HeaderTimeout), "--read-timeout": int64(b.ReadTimeout), "--write-timeout": int64(b.WriteTimeout), "--idle-timeout": int64(b.IdleTimeout),
	} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("%s: must be more than 0", flag))
		}
	}
	if b.MaxHeader < 1024 {
		errs = append(errs, errors.New("--max-header: must be at least 1024"))
	}
	if b.MaxBody < 1024 {
		errs = append(errs, errors.New("--max-body: must be at least 1024"))
	}
	if b.MaxBodies < 2*b.MaxBody {
		errs = append(errs, errors.New("--max-bodies: must be at least twice --max-body"))
	}
	if b.MaxWork < b.MaxBody {
		errs = append(errs, errors.New("--max-work: must be at least --max-body"))
	}
	return errors.Join(errs...)
}

// ofRequests are those that the edge keeps.
func (b Bounds) ofRequests() handlers.Bounds {
	return handlers.Bounds{Header: b.MaxHeader, Body: b.MaxBody, Bodies: b.MaxBodies, Work: b.MaxWork, Lists: b.MaxLists, Answers: b.MaxAnswers, Streams: b.MaxStreams}
}

// server makes the HTTP server within these bounds. HTTP/1.1 is all that it speaks: one connection is one request at a time, so that to
// count connections is to count requests.
func (b Bounds) server(handler http.Handler, c *crowd) *http.Server {
	b = b.orDefault()
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:   handler,
		Protocols: protocols,
		// The edge refuses what is longer than MaxHeader with a problem document; what is far longer is not read.
		MaxHeaderBytes:    4 * b.MaxHeader,
		ReadHeaderTimeout: b.HeaderTimeout,
		ReadTimeout:       b.ReadTimeout,
		WriteTimeout:      b.WriteTimeout,
		IdleTimeout:       b.IdleTimeout,
		ConnContext:       connContext,
		ConnState:         c.state,
	}
}
