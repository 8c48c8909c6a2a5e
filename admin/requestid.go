package admin

import (
	"crypto/rand"
	"net/http"
	"strings"
)

const (
	requestIDHeader = "X-Request-Id"
	maxRequestID    = 128 // octets
)

// withRequestID gives each request an id: that of its X-Request-Id, or a new one. The response has it, and so
// have audit records and problems.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !validRequestID(id) {
			id = rand.Text()
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

// validRequestID reports whether an id may be in a log line and a URN.
func validRequestID(id string) bool {
	return id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:~+/=", r)
	})
}

// ifMatch returns the entity tags of If-Match; none: any version may be changed. A weak tag never matches
// (RFC 9110 section 13.1.1), so it stays as it is.
func ifMatch(r *http.Request) (tags []string) {
	for _, value := range r.Header.Values("If-Match") {
		for tag := range strings.SplitSeq(value, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" {
				return nil
			}
			if inner, ok := strings.CutPrefix(tag, `"`); ok {
				tag = strings.TrimSuffix(inner, `"`)
			}
			tags = append(tags, tag)
		}
	}
	return tags
}
