// Package stage is what the demos share: a process of the server, and a way to tell what is going on. It is for
// commands alone, and prints to standard output.
package stage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// Server is a process of config-server.
type Server struct {
	API, Simulator string // URLs that it logged

	cmd     *exec.Cmd
	log     bytes.Buffer // what it logged; to be read after its end
	ended   chan struct{}
	stopped bool
}

// Start runs the binary on free ports, with more arguments, until it says that it serves. When ctx ends it is asked to end.
func Start(ctx context.Context, binary, dataDir string, more ...string) (*Server, error) {
	args := append([]string{"--port", "0", "--simulator-listen", "127.0.0.1:0", "--data-dir", dataDir, "--log-format", "json"}, more...)
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // the binary is for the caller to choose
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second // a little more than the server takes for requests that do not end
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w (make build makes it)", err)
	}
	s := &Server{cmd: cmd, ended: make(chan struct{})}
	serving := make(chan struct{})
	go s.read(stderr, serving)
	select {
	case <-serving:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("start %s: it did not come to serve: %w\n%s", binary, cmd.Wait(), s.log.String())
	}
}

// read keeps what the server logs, and takes the addresses from its first lines.
func (s *Server) read(stderr io.Reader, serving chan<- struct{}) {
	defer close(s.ended)
	for scan := bufio.NewScanner(io.TeeReader(stderr, &s.log)); scan.Scan(); {
		var line struct{ Msg, What, URL string }
		if json.Unmarshal(scan.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Msg == "serving":
			close(serving)
		case line.Msg == "listening" && line.What == "api" && line.URL != "":
			s.API = line.URL
		case line.Msg == "listening" && line.What == "vsphere simulator":
			s.Simulator = line.URL
		}
	}
}

// Stop ends it as an operator would, and says so when it did not end cleanly. The second time it does nothing.
func (s *Server) Stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.ended
	if err = errors.Join(err, s.cmd.Wait()); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

// Kill ends it as a power failure would.
func (s *Server) Kill() {
	s.stopped = true
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
	_ = s.cmd.Wait() // says that it was killed
}

// PID is that of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is what it logged, once it has ended.
func (s *Server) Log() string { return s.log.String() }
