//go:build !unix

package config

// textBuffer returns a buffer for a text of size octets.
func textBuffer(size int) (room []byte, release func()) { return make([]byte, 0, size), func() {} }
