package main

import "fmt"

// flagValues holds the value that a flag set for each object, and the flag.
type flagValues map[any]flagValue

type flagValue struct{ value, flag string }

// set records the value that a flag sets for an object. A different earlier value is an
// error that names both flags.
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
