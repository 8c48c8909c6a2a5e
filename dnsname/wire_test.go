package dnsname

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// checkWire compares the wire form of a valid name with its text form and with the DNS library.
func checkWire(t *testing.T, s string, name Name) {
	t.Helper()
	wire, err := ParseWire(dns.Fqdn(s))
	if err != nil {
		t.Errorf("ParseWire(%q): %v", s, err)
		return
	}
	if folded := wire.Folded(); !bytes.Equal(folded, name.Wire()) || folded.String() != string(name) {
		t.Errorf("%q folds to %q, want %q", s, folded, name)
	}
	if got, want := wire.Labels(), dns.CountLabel(dns.Fqdn(s)); got != want {
		t.Errorf("%q has %d labels, want %d", s, got, want)
	}
	if name == "." {
		if parent := wire.Parent(); len(parent) != 0 {
			t.Errorf("the root has the parent %q, want none", parent)
		}
		return
	}
	if got, want := wire.Folded().Parent().String(), string(name.Parent()); got != want {
		t.Errorf("parent of %q is %q, want %q", s, got, want)
	}
}

func TestParentOfTruncatedWireNameIsEmpty(t *testing.T) {
	for _, wire := range []Wire{nil, {}, {0}, {3}, {3, 'w', 'w'}, {3, 'w', 'w', 'w'}} {
		if parent := wire.Parent(); len(parent) != 0 {
			t.Errorf("parent of %v is %v, want none", wire, parent)
		}
	}
}

func TestParseWireErrors(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", "empty"},
		{"a..b.", "bad rdata"},
		{strings.Repeat("a", 64) + ".", "bad rdata"},
		{strings.Repeat(strings.Repeat("a", 63)+".", 4), "255"},
	} {
		wire, err := ParseWire(test.in)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "dns:") {
			t.Errorf("ParseWire(%q) = %v, %v, want an error with %q", test.in, []byte(wire), err, test.want)
		}
	}
}

// The names are those of RFC 4034 6.1, in canonical order.
func TestCompareIsCanonicalOrder(t *testing.T) {
	var names []Wire
	for _, s := range []string{".", "example.", "a.example.", "yljkjljk.a.example.", "z.a.example.", "zabc.a.example.", "z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`, "a.zz.example."} {
		wire, err := ParseWire(s)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, wire)
	}
	for i, a := range names {
		for j, b := range names {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
	deepest := Wire(strings.Repeat("\x01a", MaxSize/2) + "\x00")
	if deepest.Compare(deepest) != 0 || deepest.Compare(deepest.Parent()) != 1 {
		t.Error("the name of the most labels has another order")
	}
}
