package control

import "testing"

func TestSelectorTextRoundTrip(t *testing.T) {
	for text, want := range map[string]Selector{
		"web":            {Pool: "web"},
		"web/use-1":      {Pool: "web", Member: "use-1"},
		"region:us-east": {Region: "us-east"},
		"region":         {Pool: "region"},
	} {
		got, err := ParseSelector(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v, %v, written %q", text, got, err, got)
		}
	}
	for _, text := range []string{"", "/", "web/", "/use-1", "a/b/c", "region:", "zone:a", "a:b/c"} {
		if got, err := ParseSelector(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
