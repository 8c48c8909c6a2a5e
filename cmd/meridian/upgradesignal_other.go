//go:build !unix

package main

import "os"

// notifyUpgrade does nothing: this system has no such signal.
func notifyUpgrade(chan<- os.Signal) {}
