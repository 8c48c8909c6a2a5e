package plan

import (
	"math"
	"strconv"
	"strings"
)

// format formats a load or capacity: as an integer from 1000, else with two decimals.
func format(n float64) string {
	whole := thousands(int64(math.Round(n)))
	if n >= 1000 || n == math.Round(n) {
		return whole
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(n, 'f', 2, 64), "0"), ".")
}

// thousands formats a non-negative number with separators between thousands.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
