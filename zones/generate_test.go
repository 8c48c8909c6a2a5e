package zones

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestGenerateForms compares with what named-compilezone of BIND 9.18 prints.
func TestGenerateForms(t *testing.T) {
	for _, test := range []struct {
		behaviour, line string
		want            []string
	}{
		{"decimal", "$GENERATE 9-10 h$ A 192.0.2.$", []string{"h9 192.0.2.9", "h10 192.0.2.10"}},
		{"offset", "$GENERATE 1-2 h${-1} A 192.0.2.${10}", []string{"h0 192.0.2.11", "h1 192.0.2.12"}},
		{"width", "$GENERATE 1-2 h${0,3} A 192.0.2.$", []string{"h001 192.0.2.1", "h002 192.0.2.2"}},
		{"bases", "$GENERATE 26-26 ${0,0,d}-${0,4,o}-${0,4,x}-${0,4,X} A 192.0.2.$", []string{"26-0032-001a-001A 192.0.2.26"}},
		{"step", "$GENERATE 1-5/2 h$ A 192.0.2.$", []string{"h1 192.0.2.1", "h3 192.0.2.3", "h5 192.0.2.5"}},
		{"nibbles", "$GENERATE 17-18 ${0,7,n}.ip6 A 192.0.2.$", []string{"1.1.0.0.ip6 192.0.2.17", "2.1.0.0.ip6 192.0.2.18"}},
		{"nibbles of any width", "$GENERATE 255-256 ${0,0,n} A 192.0.2.1", []string{"f.f 192.0.2.1", "0.0.1 192.0.2.1"}},
		{"an even width", "$GENERATE 1-1 ${0,4,n}x A 192.0.2.1", []string{"1.0.x 192.0.2.1"}},
		{"capitals, an offset, a step", "$GENERATE 0-8/8 x${2,3,N}.${0} 60 IN A 192.0.2.$", []string{"x2.0.0 192.0.2.0", "xA.0.8 192.0.2.8"}},
		{"after an escaped dollar", `$GENERATE 1-1 a$${0,1,n}.${0,1,n} A 192.0.2.1`, []string{"a${0,1,n}.1 192.0.2.1"}},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			w := newWorld()
			w.zone("example.com", apexRecords+test.line+"\nlast A 192.0.2.200\n")
			s := w.mustCompile(t)
			for _, want := range append(test.want, "last 192.0.2.200") {
				name, data, _ := strings.Cut(want, " ")
				m := s.Lookup(wire(strings.ToLower(name)+".example.com"), dns.TypeA)
				if got := fmt.Sprint(s.records(m)); m.Kind != Exact || !strings.HasSuffix(got, " IN A "+data+"]") {
					t.Errorf("%s has %s, want %s", name, got, data)
				}
			}
		})
	}
}

func TestGenerateErrorsHaveTheLineOfTheDirective(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"$GENERATE 0-3 ${-1,3,n} A 192.0.2.1\n$GENERATE 0-3 ${0,3,n} A 192.0.2.300\nwww A 192.0.2.256\n")
	_, found := w.compile()
	const want = `/z/0.zone:4:1: bad offset in $GENERATE: a number below 0
/z/0.zone:5:1: bad A "192.0.2.300"
/z/0.zone:6:17: bad A "192.0.2.256"`
	if _, err := found.Join(); err == nil || err.Error() != want {
		t.Errorf("errors are\n%v\nwant\n%s", err, want)
	}
}

// FuzzNibbleGenerate reads lines of any form, and compares nibbles with a simpler version.
func FuzzNibbleGenerate(f *testing.F) {
	f.Add([]byte("$GENERATE 1-2 ${0,7,n} A 192.0.2.$"))
	f.Add([]byte(`$GENERATE 0-9999999999/9999999999 $$${-1,255,N}\${1,2,n}`))
	f.Add([]byte("$GENERATE 5-1/0 ${0,1,n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		g, err := newNibbleGenerate(line)
		if err != nil || g == nil {
			return
		}
		first, width := g.next, len(line)
		if got, want := string(appendNibbles(nil, first, width, false)), simpleNibbles(first, width); got != want {
			t.Errorf("nibbles of %d in %d are %s, want %s", first, width, got, want)
		}
		for lines := 1; ; lines++ {
			line := g.line()
			switch {
			case line == nil:
				return
			case !bytes.HasPrefix(line, []byte("$GENERATE ")) || line[len(line)-1] != '\n' || lines > maxGenerated:
				t.Fatalf("line %d is %q", lines, line)
			}
		}
	})
}

// simpleNibbles writes the digits of a number in reverse, and the zeros and dots up to the width.
func simpleNibbles(value int64, width int) string {
	digits := []byte(fmt.Sprintf("%x", value))
	slices.Reverse(digits)
	text := strings.Join(strings.Split(string(digits), ""), ".")
	for len(text) < width {
		if text += "."; len(text) < width {
			text += "0"
		}
	}
	return text
}
