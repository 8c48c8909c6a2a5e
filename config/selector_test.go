package config

import "testing"

func TestMatchesStar(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"a*", "a", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"*b*", "abc", true},
		{"*b*c*", "acb", false},
		{"a**c", "abc", true},
		{"*.x", "y.x.z", false},
	} {
		if got := MatchesStar(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}

func TestSelectorsAreReadAndWritten(t *testing.T) {
	for _, text := range []string{"web", "web/a", "region:eu", "region:*", "*/a", "*", "address:192.0.2.1", "address:2001:db8::1"} {
		s, err := ParseSelector(text)
		if err != nil || s.String() != text {
			t.Errorf("%q is read as %q: %v", text, s, err)
		}
	}
	for _, text := range []string{"", "/", "web/", "/a", "a/b/c", "zone:x", "address:", "address:x", "address:fe80::1%eth0", "region:"} {
		if s, err := ParseSelector(text); err == nil {
			t.Errorf("%q is read as %q", text, s)
		}
	}
	if s, _ := ParseSelector("address:::ffff:192.0.2.1"); s.String() != "address:192.0.2.1" {
		t.Errorf("a mapped address is read as %s", s)
	}
}
