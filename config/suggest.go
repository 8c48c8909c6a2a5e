package config

// Nearest returns the word that s most likely means: at most a third of its letters are wrong, missing, extra or
// swapped, and never all.
func Nearest(s string, words []string) (word string, ok bool) {
	best := min(max(1, len(s)/3)+1, len(s))
	for _, w := range words {
		if abs(len(w)-len(s)) >= best {
			continue
		}
		if n := edits(s, w); n < best {
			best, word = n, w
		}
	}
	return word, word != ""
}

func abs(n int) int { return max(n, -n) }

// edits returns the number of edits between a and b, in octets (optimal string alignment: a swap of neighbours counts
// as one).
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			wrong := 1
			if a[i] == b[j] {
				wrong = 0
			}
			row[j+1] = min(last[j]+wrong, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
