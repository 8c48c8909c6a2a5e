package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// auth lets a request through to next unless somebody else than an operator may
// have made it:
//
//	token asked for  request has                         answer
//	---------------  ----------------------------------  --------------
//	yes              another token or none               401
//	yes              the token                           next
//	no               a Host that is a name               403
//	no               an Origin, from a page of a browser 403
//	no               neither                             next
//
// A browser sends neither the token nor, to an address, a name as Host: without
// a token, a web page that the operator looks at can lead his browser here by a
// name of its own that it points at 127.0.0.1 (DNS rebinding).
func (a *api) auth(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(a.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.Token == "" && !hostIsAddress(r.Host):
			problem(w, http.StatusForbidden, fmt.Sprintf("the request is for host %q", r.Host), "ask by address or localhost, or set admin.token_file")
		case a.Token == "" && r.Header.Get("Origin") != "":
			problem(w, http.StatusForbidden, "the request comes from a web page", "set admin.token_file")
		case a.Token != "" && !hasToken(r, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "no token, or another one", "send Authorization: Bearer with what admin.token_file holds")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hasToken reports whether a request has the token of which want is the digest,
// in a time that tells nothing of it.
func hasToken(r *http.Request, want [sha256.Size]byte) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// hostIsAddress reports whether a Host is an address or localhost, with a port or without.
func hostIsAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

// isJSON reports whether the body of a request says that it is JSON, which no
// form of a web page can.
func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// The lengths of a token in octets.
const (
	minToken = 16
	maxToken = 512
)

// ReadToken reads a token from a file.
func ReadToken(file string) (string, error) {
	data, err := readHead(file)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	token := strings.TrimSpace(string(data))
	switch {
	case len(token) < minToken || len(token) > maxToken:
		return "", fmt.Errorf("it holds a token of %d bytes; %d to %d", len(token), minToken, maxToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("its token has a space, or a character that is not printable ASCII")
	}
	return token, nil
}

// readHead reads as much of a file as a token may take, and a little more.
func readHead(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2*maxToken))
}
