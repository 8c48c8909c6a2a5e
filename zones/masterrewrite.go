package zones

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// rewriters rewrite the data of types that the parser does not support, or supports only in one of the forms that
// BIND and NSD load. A nil result leaves the entry unchanged.
var rewriters = map[string]func([]word) ([]string, error){
	"NAPTR": rewriteNAPTR,
	"LOC":   rewriteLOC,
	"X25":   rewriteX25,

	"IPSECKEY": rewriteIPSECKEY,

	"APL":    rewriteAPL,
	"GPOS":   generic(dns.TypeGPOS, rdataStrings),
	"WALLET": generic(262, rdataStrings),
	"WKS":    generic(11, rdataWKS),
	"NSAP":   generic(22, rdataNSAP),
	"ATMA":   generic(34, rdataATMA),
	"A6":     generic(38, rdataA6),
	"SINK":   generic(40, rdataSINK),
	"HHIT":   generic(67, rdataBase64),
	"BRID":   generic(68, rdataBase64),
	"DOA":    generic(259, rdataDOA),
}

// rewriterOf returns the rewriter of a type, or nil if its data needs none.
func rewriterOf(typ []byte) func([]word) ([]string, error) {
	var upper [8]byte // as long as the longest type in rewriters
	if len(typ) > len(upper) {
		return nil
	}
	for i, c := range typ {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return rewriters[string(upper[:len(typ)])]
}

// rewrite returns an entry in the form for the parser, without its own line ends, or nil if the entry needs no
// change. The error describes invalid data of a type that only this file reads.
func rewrite(entry []byte) ([]byte, error) {
	switch entry[0] {
	case '\n', ';', '$':
		return nil, nil
	}
	typ, before := typeOf(entry)
	rewriter := rewriterOf(typ)
	if typ == nil || rewriter == nil && strings.IndexByte(`"(`, entry[0]) < 0 {
		return nil, nil
	}
	all := words(entry)
	if entry[0] == '"' && !unquoteOwner(&all[0]) {
		return nil, nil // the parser reports it
	}
	data := wordStrings(all[before:])
	if rewriter != nil && !isGeneric(all[before+1:]) {
		rewritten, err := rewriter(all[before+1:])
		switch {
		case err != nil:
			return nil, fmt.Errorf("bad %s: %w", strings.ToUpper(string(typ)), err)
		case rewritten != nil:
			data = rewritten
		}
	}
	line := strings.Join(append(wordStrings(all[:before]), data...), " ")
	if isBlank(entry[0]) {
		line = " " + line
	}
	return []byte(line), nil
}

// unquoteOwner removes the quotes of an owner, unless it needs them.
func unquoteOwner(owner *word) bool {
	owner.quoted = owner.text == "" || strings.ContainsAny(owner.text, " \t\r\n();")
	return !owner.quoted
}

func wordStrings(all []word) []string {
	texts := make([]string, len(all))
	for i, w := range all {
		texts[i] = w.String()
	}
	return texts
}

// isGeneric reports whether data is written in the form of RFC 3597.
func isGeneric(data []word) bool { return len(data) > 0 && data[0] == word{text: `\#`} }

// generic returns a rewriter that encodes the data and writes it in the form of RFC 3597.
func generic(typ uint16, encode func([]word) ([]byte, error)) func([]word) ([]string, error) {
	return func(data []word) ([]string, error) {
		rdata, err := encode(data)
		if err != nil {
			return nil, err
		}
		return []string{fmt.Sprintf(`TYPE%d \# %d %x`, typ, len(rdata), rdata)}, nil
	}
}

// rewriteNAPTR quotes the flags, services and regular expression (RFC 3403 4.1).
func rewriteNAPTR(data []word) ([]string, error) {
	for i := 2; i < min(5, len(data)); i++ {
		data[i].quoted = true
	}
	return append([]string{"NAPTR"}, wordStrings(data)...), nil
}

// rewriteX25 removes the quotes around the address (RFC 1183 3.1).
func rewriteX25(data []word) ([]string, error) {
	if len(data) == 1 && data[0].text != "" {
		data[0].quoted = false
	}
	return append([]string{"X25"}, wordStrings(data)...), nil
}

// rewriteIPSECKEY adds a line end: the parser reads two at the end of this type.
func rewriteIPSECKEY(data []word) ([]string, error) {
	return append(append([]string{"IPSECKEY"}, wordStrings(data)...), "\n"), nil
}

// rewriteAPL writes an empty list (RFC 3123 4) in the form of RFC 3597.
func rewriteAPL(data []word) ([]string, error) {
	if len(data) > 0 {
		return nil, nil
	}
	return []string{`APL \# 0`}, nil
}

// rewriteLOC writes out the minutes and seconds that may be left out (RFC 1876 3).
func rewriteLOC(data []word) ([]string, error) {
	texts, rest := []string{"LOC"}, wordStrings(data)
	for _, hemispheres := range [...]string{"NS", "EW"} {
		n := 0
		for n < len(rest) && !strings.ContainsAny(strings.ToUpper(rest[n]), hemispheres) {
			n++
		}
		if n == 0 || n > 3 || n == len(rest) {
			return nil, nil // the parser reports it
		}
		angle := [3]string{"0", "0", "0"}
		copy(angle[:], rest[:n])
		texts = append(append(texts, angle[:]...), rest[n])
		rest = rest[n+1:]
	}
	return append(texts, rest...), nil
}
