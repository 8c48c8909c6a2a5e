package encrypted

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"

	"meridian/server/answer"
)

const (
	// dnsMessage is the media type of queries and answers (RFC 8484 6).
	dnsMessage = "application/dns-message"
	// maxQuery is the largest query over HTTPS.
	maxQuery = 4 << 10
	// MaxHeaderBytes is the largest header of a request: a GET has a whole query in it.
	MaxHeaderBytes = 8 << 10
)

// DoH answers DNS queries over HTTPS (RFC 8484). It is safe for concurrent use.
type DoH struct {
	Path   func() string                              // of queries; others do not exist
	Answer func(r *http.Request, query []byte) []byte // the answer to a query; empty: it is none
}

// ServeHTTP answers a request.
func (d *DoH) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != d.Path() {
		refuse(w, http.StatusNotFound)
		return
	}
	query, status := readQuery(r)
	if status != http.StatusOK {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, POST")
		}
		refuse(w, status)
		return
	}
	message := d.Answer(r, query)
	if len(message) == 0 {
		refuse(w, http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", dnsMessage)
	h.Set("Content-Length", strconv.Itoa(len(message)))
	h.Set("Cache-Control", cacheControl(message))
	_, _ = w.Write(message) // fails only if the client has gone
}

// refuse answers without a body.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

// cacheControl returns how long HTTP caches may keep an answer: no longer than its records (RFC 8484 5.1). Other errors
// than that a name does not exist are not kept.
func cacheControl(message []byte) string {
	const noError, nameError = 0, 3
	rcode := message[3] & 0xf
	if ttl, ok := answer.SmallestTTL(message); ok && (rcode == noError || rcode == nameError) {
		return "max-age=" + strconv.FormatUint(uint64(ttl), 10)
	}
	return "no-store"
}

// readQuery returns the query of a request, or the status of the refusal.
func readQuery(r *http.Request) (query []byte, status int) {
	switch r.Method {
	case http.MethodGet:
		query, status = queryOfURL(r.URL.Query()["dns"])
	case http.MethodPost:
		query, status = queryOfBody(r)
	default:
		return nil, http.StatusMethodNotAllowed
	}
	if status == http.StatusOK && len(query) < answer.HeaderSize {
		return nil, http.StatusBadRequest
	}
	return query, status
}

// queryOfURL decodes the only value of the variable dns (RFC 8484 6).
func queryOfURL(values []string) (query []byte, status int) {
	if len(values) != 1 {
		return nil, http.StatusBadRequest
	}
	if base64.RawURLEncoding.DecodedLen(len(values[0])) > maxQuery {
		return nil, http.StatusRequestURITooLong
	}
	query, err := base64.RawURLEncoding.DecodeString(values[0])
	if err != nil {
		return nil, http.StatusBadRequest
	}
	return query, http.StatusOK
}

// queryOfBody reads the body of a POST.
func queryOfBody(r *http.Request) (query []byte, status int) {
	if r.Header.Get("Content-Type") != dnsMessage {
		return nil, http.StatusUnsupportedMediaType
	}
	if r.ContentLength > maxQuery {
		return nil, http.StatusRequestEntityTooLarge
	}
	query, err := io.ReadAll(io.LimitReader(r.Body, maxQuery+1))
	switch {
	case len(query) > maxQuery:
		return nil, http.StatusRequestEntityTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, http.StatusBadRequest
	case err != nil:
		return nil, http.StatusRequestTimeout
	}
	return query, http.StatusOK
}
