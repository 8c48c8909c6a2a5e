package health

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"meridian/config"
)

func TestVerdictsFollowTheTruthTable(t *testing.T) {
	const rise, fall = 2, 3
	cases := []struct {
		name     string
		outcomes string // p passed, f failed, i inconclusive
		want     string // the verdict after each: u unknown, + up, - down
	}{
		{"the first success alone decides", "p", "+"},
		{"the first failure alone decides", "f", "-"},
		{"inconclusive probes decide nothing", "iiip", "uuu+"},
		{"fewer than fall failures keep it up", "pffpff", "++++++"},
		{"fall failures in a row turn it down", "pfff", "+++-"},
		{"a success between starts the count of failures anew", "pffpfff", "++++++-"},
		{"rise successes in a row turn it up", "fpp", "--+"},
		{"a failure between starts the count of successes anew", "fpfpp", "----+"},
		{"the first failure counts towards no other turn", "fpfffpp", "------+"},
		{"an inconclusive probe neither adds to a row nor ends it", "pffif", "++++-"},
		{"failures that go on change nothing", "pffffff", "+++----"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := verdictsAfter(c.outcomes, rise, fall); got != c.want {
				t.Errorf("outcomes %s: verdicts %s, want %s", c.outcomes, got, c.want)
			}
		})
	}
}

func TestARiseAndFallOfOneTurnAtOnce(t *testing.T) {
	if got, want := verdictsAfter("pfpf", 1, 1), "+-+-"; got != want {
		t.Errorf("verdicts %s, want %s", got, want)
	}
}

// verdictsAfter runs a tally over outcomes and draws its verdicts.
func verdictsAfter(outcomes string, rise, fall int) string {
	var tl tally
	var got []byte
	for _, o := range outcomes {
		tl = tl.after(map[rune]Outcome{'p': Passed, 'f': Failed, 'i': Inconclusive}[o], time.Time{}, &config.Check{Rise: rise, Fall: fall})
		got = append(got, "u+-"[tl.verdict])
	}
	return string(got)
}

// TestTalliesAgreeWithTheWholeHistory compares with the slow obvious way: look
// back over all results for the last row that was long enough to turn.
func TestTalliesAgreeWithTheWholeHistory(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		rise, fall := 1+random.IntN(4), 1+random.IntN(4)
		var tl tally
		var all []Outcome
		for range 60 {
			o := Outcome(random.IntN(3))
			all = append(all, o)
			tl = tl.after(o, time.Time{}, &config.Check{Rise: rise, Fall: fall})
			if want := verdictOf(all, rise, fall); tl.verdict != want {
				t.Fatalf("seed %d: after %v with rise %d, fall %d: %v, want %v", seed, all, rise, fall, tl.verdict, want)
			}
		}
	}
}

func verdictOf(all []Outcome, rise, fall int) Verdict {
	verdict, passes, fails := Unknown, 0, 0
	for _, o := range all {
		switch o {
		case Passed:
			passes, fails = passes+1, 0
		case Failed:
			passes, fails = 0, fails+1
		}
		if verdict == Unknown && passes+fails > 0 {
			passes, fails = passes*rise, fails*fall // as if the row were long enough
		}
		if passes >= rise {
			verdict = Up
		}
		if fails >= fall {
			verdict = Down
		}
	}
	return verdict
}

func TestWordsForVerdictsAndOutcomes(t *testing.T) {
	got := fmt.Sprint(Unknown, Up, Down, Inconclusive, Failed, Passed)
	if want := "unknown up down inconclusive failed passed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
