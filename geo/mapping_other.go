//go:build !unix

package geo

import (
	"io"
	"os"
)

// mapFile reads the file, because this system has no file mapping.
func mapFile(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}

func dropPages([]byte) error { return nil }

func unmap([]byte) error { return nil }
