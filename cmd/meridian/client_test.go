package main

import (
	"strings"
	"testing"
)

// TestCutAnswersAreErrors reads answers that are as long as the limit, and shorter.
func TestCutAnswersAreErrors(t *testing.T) {
	for length, whole := range map[int]bool{9: true, 10: false, 11: false} {
		body, err := readAnswer(strings.NewReader(strings.Repeat("x", length)), 10)
		if whole && (err != nil || len(body) != length) || !whole && err == nil {
			t.Errorf("%d octets: read %d, error %v", length, len(body), err)
		}
	}
}
