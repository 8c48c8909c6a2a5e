// Package limit protects the server, and the victims of forged sources: DNS cookies, which prove that a client receives
// what is sent to its address, limits on the rate of answers to a client network, and rules that filter queries.
//
// Each worker counts its queries in a Sketch, which costs a few nanoseconds. Only for sources that this finds hot it
// asks Rates, which all workers share.
//
// It knows no message and no socket. What it does for a query takes no lock and allocates no memory.
package limit

import (
	"encoding/binary"
	"net/netip"

	"github.com/dchest/siphash"
)

// The sizes of cookies in octets (RFC 7873 4, RFC 9018 4).
const (
	ClientCookieSize = 8
	CookieSize       = ClientCookieSize + 16 // a client cookie and a server cookie of ours
	minCookie        = ClientCookieSize + 8
	maxCookie        = ClientCookieSize + 32
	hashAt           = CookieSize - 8
	timeAt           = ClientCookieSize + 4
	versionAt        = ClientCookieSize
	cookieVersion    = 1
)

// The times of server cookies in seconds (RFC 9018 4.3).
const (
	cookieLifetime = 3600
	cookieRenewal  = 1800 // an older one is replaced
	cookieAhead    = 300  // clocks of servers may differ by this
)

// CookieSizeOK reports whether a COOKIE option may have n octets (RFC 7873 4).
func CookieSizeOK(n int) bool { return n == ClientCookieSize || n >= minCookie && n <= maxCookie }

// CookieResult is the result of the check of a cookie.
type CookieResult uint8

// The results of a check.
const (
	CookieNew     CookieResult = iota // the client sent no server cookie
	CookieValid                       // the client receives what is sent to its address
	CookieInvalid                     // none of the secrets made the server cookie for this client, or it is too old
	CookieResults
)

func (r CookieResult) String() string { return [...]string{"new", "valid", "invalid"}[r] }

// Check checks the cookie of a query from source at a time in Unix seconds, and writes the cookie of its answer into
// reply. The size of the cookie is OK. A valid server cookie is returned until it is to be renewed (RFC 9018 4.3, 5):
//
//	server cookie of the query            result   cookie of the answer
//	none                                  new      made
//	made by the first secret, young       valid    the same
//	made by the first secret, older       valid    made
//	made by another secret                valid    made
//	too old, too far ahead, or another    invalid  made
func (c *Cookies) Check(reply *[CookieSize]byte, cookie []byte, source netip.Addr, now int64) CookieResult {
	secrets := *c.secrets.Load()
	result := CookieInvalid
	if len(cookie) == ClientCookieSize {
		result = CookieNew
	}
	var input hashInput
	if len(cookie) == CookieSize && cookie[versionAt] == cookieVersion {
		age := int32(uint32(now) - binary.BigEndian.Uint32(cookie[timeAt:])) // RFC 1982: the time wraps
		if age <= cookieLifetime && age >= -cookieAhead {
			input.set(cookie, source)
			switch by := input.madeBy(secrets, binary.LittleEndian.Uint64(cookie[hashAt:])); {
			case by == 0 && age <= cookieRenewal:
				copy(reply[:], cookie)
				return CookieValid
			case by >= 0:
				result = CookieValid
			}
		}
	}
	copy(reply[:], cookie[:ClientCookieSize])
	binary.BigEndian.PutUint32(reply[versionAt:], cookieVersion<<24)
	binary.BigEndian.PutUint32(reply[timeAt:], uint32(now))
	input.set(reply[:], source)
	binary.LittleEndian.PutUint64(reply[hashAt:], input.sum(secrets[0]))
	return result
}

// hashInput is what the hash of a server cookie is of: the cookie before the hash, and the client's address
// (RFC 9018 4.4).
type hashInput struct {
	data [hashAt + 16]byte
	size int
}

func (h *hashInput) set(cookie []byte, source netip.Addr) {
	copy(h.data[:hashAt], cookie)
	if source.Is4() {
		addr := source.As4()
		h.size = hashAt + copy(h.data[hashAt:], addr[:])
		return
	}
	addr := source.As16()
	h.size = hashAt + copy(h.data[hashAt:], addr[:])
}

func (h *hashInput) sum(s secret) uint64 { return siphash.Hash(s.k0, s.k1, h.data[:h.size]) }

// madeBy returns the index of the secret with the hash sum, or -1. The comparison takes constant time: it is one of
// words.
func (h *hashInput) madeBy(secrets []secret, sum uint64) int {
	for i, s := range secrets {
		if h.sum(s) == sum {
			return i
		}
	}
	return -1
}
