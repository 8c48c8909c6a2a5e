package zones

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/counterpart"
)

// entries holds entries that BIND loads and the parser alone does not, with BIND's output.
var entries = []string{
	`a NAPTR 100 50 s http+I2L "" _http._tcp.example.org.`,
	`a NAPTR 65535 65535 blurgh blorf blllbb foo.`,
	`a 1h IN NAPTR ( 100 50 "" e2u+sip
		"!^.*$!sip:info@example.com!" ; comment
		. )`,
	`a LOC 60 9 N 24 39 E 10 20 2000 20`,
	`a LOC 42 N 71 W -24m 30m`,
	`a X25 "123456789"`,
	`a APL`,
	`a GPOS "-22.6882" "116.8652" 250.0`,
	`a GPOS "" "" ""`,
	`a WKS 10.0.0.1 TCP telnet ftp 0 1 2`,
	`a WKS 10.0.0.1 UDP ( domain 53 )`,
	`a WKS 10.0.0.2 6 65535`,
	`a NSAP ( 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00 )`,
	`a NSAP 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00.`,
	`a ATMA +61200000000`,
	`a ATMA 39.246f.0e7c.9c03.1200.0100.0100.0012.3456.7800`,
	`a A6 0 2001:db8::1`,
	`a A6 64 ::ffff:ffff:ffff:ffff foo.`,
	`a A6 127 ::1 foo.`,
	`a A6 128 .`,
	`a SINK 1 0 0`,
	`a SINK 8 0 2 l4ik`,
	`a DOA ( 1234567890 1234567890 1 "image/gif"
		R0lG
		ODlh )`,
	`a DOA 0 1 2 "" aHR0cHM6Ly93d3cuaXNjLm9yZy8=`,
	`a WALLET "BTC" abc\032\;d`,
	`a HHIT AQMFD5raczCJHViKtLYhWGz8hMY9UGRuniJDBzC7w0aR`,
	`a BRID AQMFD5raczCJHViKtLYhWGz8hMY9UGRuniJDBzC7w0aR`,
	`a IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==`,
	`"a" A 192.0.2.1`,
	`( a A 192.0.2.1 )`,
	`$GENERATE 1-3 h$ MX "10 m$"`,
}

// TestRewrittenEntriesLoad loads each entry, with the lines after it.
func TestRewrittenEntriesLoad(t *testing.T) {
	for _, text := range append([]string{"a ( A\n192.0.2.1 )", "a ( A;comment\n192.0.2.1 )"}, entries...) {
		w := newWorld()
		w.zone("example.com", masterHead+text+"\nlast A 192.0.2.300\n")
		line := 5 + strings.Count(text, "\n")
		want := fmt.Sprintf("/z/0.zone:%d:18: bad A \"192.0.2.300\"\n", line)
		if got := w.faults(t); got != want {
			t.Errorf("%s\ngot %swant %s", text, got, want)
		}
	}
}

const masterHead = "$TTL 300\n@ SOA ns.outside. h 1 2 3 4 5\n@ NS ns.outside.\n"

// TestRewrittenEntriesMeanTheSame has BIND read each entry in its original and its rewritten form, and compares the
// output.
func TestRewrittenEntriesMeanTheSame(t *testing.T) {
	compiler := counterpart.Find(t, "named-compilezone")
	var written, rewritten strings.Builder
	for i, text := range entries {
		if strings.HasPrefix(text, "$") {
			continue // the parser expands it
		}
		owner := fmt.Sprintf("e%d", i)
		text = strings.Replace(text, "a", owner, 1)
		line, err := rewrite([]byte(text + "\n"))
		if err != nil || line == nil {
			t.Errorf("%s: rewritten as %q, error %v", text, line, err)
			continue
		}
		written.WriteString(text + "\n")
		rewritten.Write(append(line, '\n'))
	}
	want := compileWithBIND(t, compiler, written.String())
	if got := compileWithBIND(t, compiler, rewritten.String()); !bytes.Equal(got, want) {
		t.Errorf("BIND reads the rewritten entries as\n%s\nand the written ones as\n%s", got, want)
	}
}

// compileWithBIND returns a zone of these entries as BIND writes it.
func compileWithBIND(t *testing.T, compiler, text string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(masterHead+text), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(compiler, "-i", "none", "-k", "ignore", "-o", out, "example.com", in).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, said, text)
	}
	return must(os.ReadFile(out))
}

// TestRewriteReportsBadData checks the message for each kind of bad data.
func TestRewriteReportsBadData(t *testing.T) {
	for text, want := range map[string]string{
		"a WKS 10.0.0.1":                       "bad WKS: want ADDRESS PROTOCOL SERVICES",
		"a WKS ::1 tcp 80":                     `bad WKS: "::1" is not an IPv4 address`,
		"a WKS 10.0.0.1 xyz 80":                `bad WKS: "xyz" is not a protocol; want tcp, udp or a number`,
		"a WKS 10.0.0.1 tcp nosuch":            `bad WKS: "nosuch" is not a service; want a port`,
		"a NSAP 47":                            "bad NSAP: want 0x and pairs of hexadecimal digits",
		"a ATMA xyz":                           "bad ATMA: want + and decimal digits, or hexadecimal digits",
		"a A6 64 ::1 relative":                 "bad A6: want PREFIX-LENGTH ADDRESS NAME, with an absolute name",
		"a A6 129 ::1 .":                       `bad A6: "129" is not a prefix length; want 0 to 128`,
		"a A6 64 192.0.2.1 .":                  `bad A6: "192.0.2.1" is not an IPv6 address`,
		"a SINK 1 2":                           "bad SINK: want MEANING CODING SUBCODING DATA",
		"a SINK 1 2 300 AA==":                  `bad SINK: "300" is not a number from 0 to 255`,
		"a DOA 1 2 3 x !":                      `bad DOA: "!" is not base64`,
		"a GPOS":                               "bad GPOS: the record has no data",
		`a GPOS "\300" "" ""`:                  `bad GPOS: "\\300" is not an escaped octet; want three digits, at most 255`,
		"a WALLET " + strings.Repeat("x", 256): `bad WALLET: "` + strings.Repeat("x", 80) + `..." is longer than 255 octets`,
	} {
		if _, err := rewrite([]byte(text + "\n")); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// FuzzRewrite rewrites arbitrary entries. The result keeps the owner, or the
// blank in its place, so that the entries after it keep theirs.
func FuzzRewrite(f *testing.F) {
	for _, text := range entries {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || text[0] == '$' {
			return
		}
		line, err := rewrite(text)
		if err != nil || line == nil {
			return
		}
		owner, quoted, _ := nextWord(text)
		if isBlank(text[0]) != isBlank(line[0]) || !isBlank(text[0]) && !quoted && !bytes.HasPrefix(line, owner) {
			t.Fatalf("%q becomes %q", text, line)
		}
	})
}
