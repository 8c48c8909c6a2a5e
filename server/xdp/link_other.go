//go:build !linux

package xdp

import "net/netip"

// Link is an interface with the program attached: there is none.
type Link struct{}

// Attach returns ErrUnsupported.
func Attach(Options) (*Link, error) { return nil, ErrUnsupported }

// State, Take, Serve, Statistics and Close are never called.
func (*Link) State() State                { return State{} }
func (*Link) Take([]netip.AddrPort) error { return nil }
func (*Link) Serve(func() Handler)        {}
func (*Link) Statistics() (s Statistics)  { return s }
func (*Link) Close()                      {}
