package plan

import (
	"math"
	"testing"
)

func TestFormatAmounts(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 0.5: "0.5", 12.345: "12.35", 99.999: "100", 999: "999", 1000.4: "1,000",
		20000: "20,000", 1234567.8: "1,234,568", 1e15: "1,000,000,000,000,000",
	} {
		if got := format(n); got != want {
			t.Errorf("%v is written %s; want %s", n, got, want)
		}
	}
}

func TestUnknownDistanceIsADash(t *testing.T) {
	none, some := Distance(math.NaN()), Distance(12.6)
	for _, test := range []struct{ got, want string }{
		{none.String(), "-"}, {none.Unit(), "-"}, {some.String(), "13"}, {some.Unit(), "13 km"},
	} {
		if test.got != test.want {
			t.Errorf("%s; want %s", test.got, test.want)
		}
	}
	data, err := none.MarshalJSON()
	if err != nil || string(data) != "null" {
		t.Errorf("as JSON it is %s, error %v; want null", data, err)
	}
}
