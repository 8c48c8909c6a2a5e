package daemon

import (
	"time"

	"meridian/loads"
	"meridian/pools"
)

// loadPause is how long load reports are collected before they are applied to the pools.
const loadPause = 250 * time.Millisecond

// followLoads starts polling the load targets of a tree.
func (l *instance) followLoads(tree *pools.Tree) (*loads.Watch, error) {
	targets := make([]loads.Target, len(tree.LoadTargets()))
	for i, t := range tree.LoadTargets() {
		targets[i] = loads.Target(t)
	}
	return l.poller.Follow(targets)
}
