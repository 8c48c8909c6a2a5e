package server

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestOneMoreIsForAWhile(t *testing.T) {
	runtime.SetDefaultGOMAXPROCS() // which is what a process has that nobody told otherwise
	before := runtime.GOMAXPROCS(0)
	noMore := oneMore()
	during := runtime.GOMAXPROCS(0)
	noMore()
	if after := runtime.GOMAXPROCS(0); during != before+1 || after != before {
		t.Errorf("from %d to %d to %d at once", before, during, after)
	}
}

func TestCollectLessIsForAWhileAndNotAgainstTheOperator(t *testing.T) {
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	t.Setenv("GOGC", "")
	before := percent()
	asBefore := collectLess()
	during := percent()
	asBefore()
	if after := percent(); during != buildGC || after != before {
		t.Errorf("from %d to %d to %d", before, during, after)
	}
	t.Setenv("GOGC", "50")
	defer collectLess()()
	if now := percent(); now != before {
		t.Errorf("with GOGC set, %d became %d", before, now)
	}
}
