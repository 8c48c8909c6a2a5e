package config

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"listen", "workers", "nsid", "udp_size", "ecs"}
	tests := []struct{ in, want string }{
		{"listn", "listen"},
		{"lsiten", "listen"},
		{"worker", "workers"},
		{"udpsize", "udp_size"},
		{"esc", "ecs"},
		{"x", ""},
		{"", ""},
		{"frobnicate", ""},
	}
	for _, test := range tests {
		if got, ok := Nearest(test.in, words); got != test.want || ok != (test.want != "") {
			t.Errorf("Nearest(%q) = %q, %v, want %q", test.in, got, ok, test.want)
		}
	}
}

func TestEdits(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"abc", "axc", 1},
		{"abcd", "bcd", 1},
		{"kitten", "sitting", 3},
	}
	for _, test := range tests {
		if got := edits(test.a, test.b); got != test.want {
			t.Errorf("edits(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
