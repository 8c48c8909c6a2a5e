//go:build !linux

package config

// onHugePages is for Linux alone.
func onHugePages([]byte) {}
