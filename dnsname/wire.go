package dnsname

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Wire is a name in wire form (RFC 1035 3.1), uncompressed: labels, each after an octet with its length, and the root.
type Wire []byte

// ParseWire converts a name from presentation form. It keeps the letters as written.
func ParseWire(s string) (Wire, error) {
	if s == "" {
		return nil, errors.New("it is empty")
	}
	buf := make(Wire, 2*MaxSize)
	end, err := dns.PackDomainName(s, buf, 0, nil, false)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "dns: ", ""))
	}
	if end > MaxSize {
		return nil, fmt.Errorf("it is longer than %d octets", MaxSize)
	}
	return buf[:end:end], nil
}

// String returns w in presentation form. It panics if w is not a name.
func (w Wire) String() string {
	s, _, err := dns.UnpackDomainName(w, 0)
	if err != nil {
		panic("dnsname: a name that does not unpack: " + err.Error()) // the caller has read or packed it
	}
	return s
}

// Fold converts w to lower case.
func (w Wire) Fold() {
	for i, c := range w {
		w[i] = Lower(c)
	}
}

// Folded returns a copy of w in lower case.
func (w Wire) Folded() Wire {
	folded := make(Wire, len(w))
	copy(folded, w)
	folded.Fold()
	return folded
}

// Lower returns an octet of a name in lower case. It may be applied to length octets: they are smaller than any letter.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Parent returns w without its first label. It returns an empty name above the root and for a truncated name.
func (w Wire) Parent() Wire {
	if len(w) == 0 || 1+int(w[0]) >= len(w) {
		return nil
	}
	return w[1+int(w[0]):]
}

// Labels counts the labels of w, without the root label.
func (w Wire) Labels() int {
	n := 0
	for rest := w.Parent(); len(rest) > 0; rest = rest.Parent() {
		n++
	}
	return n
}

// Compare returns the canonical order of two names in lower case: label by label from the right, and a name before
// those below it (RFC 4034 6.1).
func (w Wire) Compare(other Wire) int {
	var left, right labelStarts
	n, m := left.find(w), right.find(other)
	for n > 0 && m > 0 {
		n, m = n-1, m-1
		a, b := w[left[n]:], other[right[m]:]
		if order := bytes.Compare(a[1:1+int(a[0])], b[1:1+int(b[0])]); order != 0 {
			return order
		}
	}
	return cmp.Compare(n, m)
}

// labelStarts holds the offsets of the labels of a name.
type labelStarts [MaxSize / 2]uint8

// find stores the offsets for w and returns their number.
func (l *labelStarts) find(w Wire) int {
	n := 0
	for at := 0; at < len(w) && w[at] != 0; at += 1 + int(w[at]) {
		l[n] = uint8(at)
		n++
	}
	return n
}
