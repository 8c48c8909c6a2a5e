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

// auth passes a request to next unless it may not come from an operator:
//
//	token set  request has                          answer
//	---------  -----------------------------------  --------------
//	yes        a wrong token or none                401
//	yes        the token                            next
//	no         a Host that is a name                403
//	no         an Origin, from a page of a browser  403
//	no         neither                              next
//
// A browser never sends the token, and it sends a Host that is a name unless the URL has an
// address. Without a token, a web page opened by the operator could otherwise reach this API
// under a name of its own that resolves to 127.0.0.1 (DNS rebinding).
func (a *api) auth(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(a.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.Token == "" && !hostIsAddress(r.Host):
			problem(w, http.StatusForbidden, fmt.Sprintf("the request is for host %q", r.Host), "use an address or localhost, or set admin.token_file")
		case a.Token == "" && r.Header.Get("Origin") != "":
			problem(w, http.StatusForbidden, "the request comes from a web page", "set admin.token_file")
		case a.Token != "" && !hasToken(r, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "missing or wrong token", "send Authorization: Bearer with the token of admin.token_file")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hasToken reports whether a request has the token with digest want, in constant time.
func hasToken(r *http.Request, want [sha256.Size]byte) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// hostIsAddress reports whether a Host is an address or localhost, with or without a port.
func hostIsAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

// isJSON reports whether the content type of a request is JSON, which no form of a web page can
// send.
func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// The size limits of a token in bytes.
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
		return "", fmt.Errorf("it holds a token of %d bytes; want %d to %d", len(token), minToken, maxToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("its token contains a space or a character that is not printable ASCII")
	}
	return token, nil
}

// readHead reads slightly more of a file than a token may have.
func readHead(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2*maxToken))
}
