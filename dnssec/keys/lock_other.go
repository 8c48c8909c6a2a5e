//go:build !unix

package keys

// lockFolder does nothing: there is no lock on this system.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }
