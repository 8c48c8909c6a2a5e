package server

import (
	"time"

	"meridian/config"
	"meridian/zones"
)

// bindAndBuild binds the sockets that cfg asks for and then builds its snapshot: a
// port that is taken shows before the geo database is read, which may take seconds.
// A second call, for another configuration, binds what that one asks for.
func (l *instance) bindAndBuild(cfg *config.Config) (*zones.Snapshot, []config.Error, error) {
	if err := l.bindFirst(cfg); err != nil {
		return nil, nil, &BindError{err}
	}
	return zones.Build(cfg)
}

// bindFirst binds the sockets for DNS and for the API.
func (l *instance) bindFirst(cfg *config.Config) error {
	l.binding.Lock()
	defer l.binding.Unlock()
	if err := l.server.bind(&cfg.Server); err != nil {
		return err
	}
	l.bound = time.Now()
	asked := cfg.Admin.Listen
	if l.adminListener != nil && l.adminListener.configured == asked && l.Admin != nil {
		return nil
	}
	l.adminListener.close()
	l.adminListener = nil
	if l.Admin == nil || !asked.IsValid() {
		return nil
	}
	opened, err := openAdmin(asked, nil, l.Logger)
	if err == nil {
		l.adminListener = opened
	}
	return err
}

// unbind closes what bindFirst opened if the server ends before it serves.
func (l *instance) unbind() {
	l.binding.Lock()
	defer l.binding.Unlock()
	l.server.unbind()
	l.adminListener.close()
	l.adminListener = nil
}

// leastFirstRound is how long the first probes may take if building took most of
// firstRound: as long as most of them take to fail.
const leastFirstRound = 2 * time.Second

// firstAnswer returns when the first answer is due: queries wait in the sockets for
// firstRound at most, unless building the snapshot takes longer.
func (l *instance) firstAnswer(now time.Time) time.Time {
	due := l.bound.Add(startupProbeTimeout)
	if least := now.Add(leastFirstRound); due.Before(least) {
		return least
	}
	return due
}
