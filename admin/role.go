package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"meridian/config"
)

// Role says what a user may do: a viewer reads, an operator changes overrides, reloads and
// reports, an admin does everything.
type Role string

// The roles, each includes those before it.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Token is a token of a user.
type Token struct {
	Name   string
	Role   Role
	Secret string
}

// Tokens reads the tokens of a configuration: those of admin.tokens, and that of admin.token_file,
// which is of the role admin. It returns none if anyone who can connect has full control.
func Tokens(cfg config.Admin) ([]Token, error) {
	var all []Token
	if cfg.TokenFile != "" {
		secret, err := ReadToken(cfg.TokenFile)
		if err != nil {
			return nil, err
		}
		all = append(all, Token{"token_file", Admin, secret})
	}
	for _, t := range cfg.Tokens {
		secret, err := ReadToken(t.File)
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", t.Name, err)
		}
		all = append(all, Token{t.Name, Role(t.Role), secret})
	}
	return all, nil
}

// user is the user of a request.
type user struct {
	Name string
	Role Role
	From netip.AddrPort
}

type userKey struct{}

// userOf returns the user of a request that auth has passed.
func userOf(r *http.Request) user {
	u, _ := r.Context().Value(userKey{}).(user) // set by auth
	return u
}

// withUser returns r with its user.
func withUser(r *http.Request, name string, role Role) *http.Request {
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero value in tests
	return r.WithContext(context.WithValue(r.Context(), userKey{}, user{name, role, from}))
}

// tokenOf returns the token that a request carries, or nil. It compares with each token, in constant
// time.
func tokenOf(r *http.Request, tokens []Token) (found *Token) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	for i := range tokens {
		want := sha256.Sum256([]byte(tokens[i].Secret))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			found = &tokens[i]
		}
	}
	return found
}

// may reports whether a role may send a request: a viewer may only read.
func (role Role) may(r *http.Request) bool {
	return role != Viewer || r.Method == http.MethodGet || r.Method == http.MethodHead
}

// neededRole returns the role that a request needs that changes something. See adminOnly.
func neededRole(r *http.Request) Role {
	if r.URL.Path == "/v1/upgrade" || strings.HasPrefix(r.URL.Path, "/v1/config") {
		return Admin
	}
	return Operator
}

// crossOrigin reports whether a request comes from a web page of another origin. A browser sends
// Origin with every request that can change something.
func crossOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	case "same-origin":
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	from, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(from.Host, r.Host)
}
