package zones

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rewriteGenerate returns a $GENERATE with a TTL, because the parser does not apply $TTL to it, and without quotes
// around its data, which BIND reads to the end of the line.
func rewriteGenerate(entry []byte, ttl string) []byte {
	all := words(entry)
	line := ""
	for i, w := range all {
		if i == 3 && ttl != "" && !slices.ContainsFunc(all[3:min(5, len(all))], isTTLWord) {
			line += " " + ttl
		}
		line += " " + w.text
	}
	return []byte(line[1:])
}

func isTTLWord(w word) bool { return isTTL([]byte(w.text)) }

// nibbleGenerate is a $GENERATE with nibble forms, which the parser does not support: ${OFFSET,WIDTH,n} writes the
// hexadecimal digits of the number as labels, the lowest first, as names below ip6.arpa have them. The parser gets a
// $GENERATE for each number, in which these forms are replaced.
type nibbleGenerate struct {
	next, last, step int64
	rest             []byte // of the line, after the range
}

var (
	generateRange = regexp.MustCompile(`^(\d{1,10})-(\d{1,10})(?:/(\d{1,10}))?$`)
	nibbleForm    = regexp.MustCompile(`^\$\{(-?\d{1,10}),(\d{1,3}),([nN])\}`)
)

// maxGenerated is the largest number of records of a $GENERATE, which is the parser's limit.
const maxGenerated = 65536

// newNibbleGenerate reads a $GENERATE line. It returns nil if the line has no nibble form, or a range that the parser
// rejects.
func newNibbleGenerate(line []byte) (*nibbleGenerate, error) {
	_, _, rest := nextWord(line)
	numbers, _, rest := nextWord(rest)
	match := generateRange.FindSubmatch(numbers)
	if match == nil {
		return nil, nil
	}
	g := &nibbleGenerate{step: 1, rest: rest}
	g.next, g.last = parseDigits(match[1]), parseDigits(match[2])
	if len(match[3]) > 0 {
		g.step = parseDigits(match[3])
	}
	if g.step == 0 || g.last < g.next || (g.last-g.next)/g.step >= maxGenerated {
		return nil, nil
	}
	lowest, found := appendNibbleForms(nil, rest, g.next)
	switch {
	case !found:
		return nil, nil
	case lowest == nil:
		return nil, errors.New("bad offset in $GENERATE: a number below 0")
	}
	return g, nil
}

// parseDigits returns the value of at most ten digits.
func parseDigits(digits []byte) int64 {
	n, _ := strconv.ParseInt(string(digits), 10, 64)
	return n
}

// line returns the $GENERATE of the next number, or nil after the last.
func (g *nibbleGenerate) line() []byte {
	if g.next > g.last {
		return nil
	}
	line, _ := appendNibbleForms(fmt.Appendf(nil, "$GENERATE %d-%[1]d", g.next), g.rest, g.next)
	g.next += g.step
	return append(line, '\n')
}

// appendNibbleForms appends text with the nibble forms of number n, and reports whether there are any. It returns nil
// if a form is of a number below 0.
func appendNibbleForms(to, text []byte, n int64) (_ []byte, found bool) {
	for len(text) > 0 {
		size := 1
		form := nibbleForm.FindSubmatch(text)
		switch {
		case form != nil:
			value := n + parseDigits(form[1])
			if value < 0 {
				return nil, true
			}
			to, found = appendNibbles(to, value, int(parseDigits(form[2])), form[3][0] == 'N'), true
			text = text[len(form[0]):]
			continue
		case len(text) > 1 && (text[0] == '\\' || text[0] == '$' && text[1] == '$'):
			size = 2
		}
		to = append(to, text[:size]...)
		text = text[size:]
	}
	return to, found
}

// appendNibbles appends the hexadecimal digits of value as labels, the lowest first. The width counts the digits and
// the dots; as in BIND, an even one ends with a dot.
func appendNibbles(to []byte, value int64, width int, upper bool) []byte {
	digits := "0123456789abcdef"
	if upper {
		digits = strings.ToUpper(digits)
	}
	for {
		to = append(to, digits[value&15])
		value >>= 4
		width--
		if value == 0 && width <= 0 {
			return to
		}
		to = append(to, '.')
		width--
		if value == 0 && width <= 0 {
			return to
		}
	}
}
