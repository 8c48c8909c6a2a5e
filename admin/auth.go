package admin

import (
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"meridian/certs"
	"meridian/errtext"
)

// auth passes a request to next, with its user, unless it may not come from an operator:
//
//	tokens  request has                                 answer
//	------  ------------------------------------------  ----------------------------
//	any     an Origin of another web page               403
//	set     a wrong token, or none and no certificate   401
//	set     a viewer's token, and changes something     403
//	set     another token                               next
//	none    a Host that is a name                       403
//	none    a Host that is an address                   next: full control
//
// A page of another origin has no token, because browsers keep it for the dashboard's own origin,
// and it sends a Host that is a name unless the URL has an address. Without tokens, a web page
// opened by the operator could otherwise reach this API under a name of its own that resolves to
// 127.0.0.1 (DNS rebinding).
func (a *api) auth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if crossOrigin(r) {
			problem(w, http.StatusForbidden, "the request comes from a web page of another origin", "use the dashboard of this server, or a tool that sends no Origin")
			return
		}
		if name := certificateName(r); a.ClientCA && name != "" && (r.Header.Get("Authorization") == "" || tokenOf(r, a.Tokens) != nil) {
			a.asCertificate(w, r, name, next)
			return
		}
		if len(a.Tokens) == 0 && !a.ClientCA {
			if !hostIsAddress(r.Host) {
				problem(w, http.StatusForbidden, fmt.Sprintf("the request is for host %q", r.Host), "use an address or localhost, or set admin.tokens")
				return
			}
			next.ServeHTTP(w, withUser(r, "local", Admin))
			return
		}
		token := tokenOf(r, a.Tokens)
		switch {
		case token == nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "missing or wrong token", "send Authorization: Bearer with a token of admin.tokens or admin.token_file")
		case !token.Role.may(r):
			problem(w, http.StatusForbidden, fmt.Sprintf("%s is a viewer, and may change nothing", token.Name), "use a token of the role "+string(neededRole(r)))
		default:
			next.ServeHTTP(w, withUser(r, token.Name, token.Role))
		}
	})
}

// asCertificate passes a request of the user of a client certificate to next, unless its role may not send it.
func (a *api) asCertificate(w http.ResponseWriter, r *http.Request, name string, next http.Handler) {
	role := Operator
	for _, t := range a.Tokens {
		if t.Name == name {
			role = t.Role
		}
	}
	if !role.may(r) {
		problem(w, http.StatusForbidden, fmt.Sprintf("%s is a viewer, and may change nothing", name), "use a certificate or token of the role "+string(neededRole(r)))
		return
	}
	next.ServeHTTP(w, withUser(r, name, role))
}

// certificateName returns the name in the verified client certificate of a request; empty: it has none.
func certificateName(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	cert := r.TLS.PeerCertificates[0]
	for _, name := range slices.Concat([]string{cert.Subject.CommonName}, cert.DNSNames, cert.EmailAddresses) {
		if name != "" {
			return name
		}
	}
	return "certificate " + cert.SerialNumber.String()
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
	if certs.ReadableByOthers(file) {
		return "", errtext.ReadableByOthersError{File: file}
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
