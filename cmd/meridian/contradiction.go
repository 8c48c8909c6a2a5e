package main

import "fmt"

// sayings is what flags said of what, by which the first that said it is found again.
type sayings map[any]saying

type saying struct{ what, flag string }

// say notes what a flag says of something. Another thing said of it before is an
// error that names both: who contradicts themselves wants to know, not an answer.
func (s *sayings) say(of any, what, flag string) error {
	if *s == nil {
		*s = sayings{}
	}
	if before, ok := (*s)[of]; ok && before.what != what {
		return fmt.Errorf("%q contradicts %q; keep one of them", flag, before.flag)
	}
	(*s)[of] = saying{what, flag}
	return nil
}
