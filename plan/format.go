package plan

import (
	"math"
	"strconv"
	"strings"
)

// format writes a load or capacity: whole where it is large, to the hundredth
// where it is not.
func format(n float64) string {
	whole := thousands(int64(math.Round(n)))
	if n >= 1000 || n == math.Round(n) {
		return whole
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(n, 'f', 2, 64), "0"), ".")
}

// thousands writes a number that is not negative, its digits in threes.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
