//go:build !unix

package config

// textRoom returns a buffer for a text of size octets.
func textRoom(size int) (room []byte, release func()) { return make([]byte, 0, size), func() {} }
