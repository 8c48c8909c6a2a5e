package main

import "fmt"

// flagValues is what flags said of what, by which the first that said it is found again.
type flagValues map[any]flagValue

type flagValue struct{ value, flag string }

// set notes what a flag says of something. Another thing said of it before is an
// error that names both: who contradicts themselves wants to know, not an answer.
func (s *flagValues) set(of any, what, flag string) error {
	if *s == nil {
		*s = flagValues{}
	}
	if before, ok := (*s)[of]; ok && before.value != what {
		return fmt.Errorf("%q contradicts %q; keep one of them", flag, before.flag)
	}
	(*s)[of] = flagValue{what, flag}
	return nil
}
