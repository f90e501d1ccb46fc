package handlers

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-openapi/runtime"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/restapi/operations/system"
	"github.com/vmexecutor/config-server/store"
)

// A copy of the store is read within one transaction, which keeps the engine from using pages again. So a client has to take
// this much in this time, and may then take as long as it needs.
const (
	backupChunk = 1 << 20 // bytes
	backupLimit = 30 * time.Second
)

type backupHandlers struct {
	store    *store.Store
	problems problems
}

func (h *backupHandlers) get(params system.GetBackupParams) (system.GetBackupResponder, error) {
	return &backupAnswer{h: h, request: params.HTTPRequest}, nil
}

// backupAnswer writes a copy of the store as it reads it.
type backupAnswer struct {
	system.GetBackupOK
	h       *backupHandlers
	request *http.Request
}

// WriteResponse implements the responder.
func (a *backupAnswer) WriteResponse(w http.ResponseWriter, _ runtime.Producer) {
	begun := false
	out := &pacedWriter{w, http.NewResponseController(w)}
	buffered := bufio.NewWriterSize(out, backupChunk)
	err := a.h.store.Backup(a.request.Context(), func(size int64) (io.Writer, error) {
		begun = true
		audit.Of(a.request.Context()).Always = true // whoever has most of it has most of all that there is
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Header().Set("Cache-Control", "no-store")
		return buffered, nil
	})
	if err == nil {
		err = buffered.Flush()
	}
	switch {
	case err == nil:
		audit.Of(a.request.Context()).Outcome = audit.Done
	case !begun:
		a.h.problems.serve(w, a.request, err)
	default:
		a.h.problems.log.Warn("a backup was not taken whole", "request", requestID(a.request), "error", err)
		panic(http.ErrAbortHandler) // the client is to see that it is not whole
	}
}

// pacedWriter gives each piece of an answer its own time.
type pacedWriter struct {
	io.Writer
	control *http.ResponseController
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(backupLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.Writer.Write(b)
}
