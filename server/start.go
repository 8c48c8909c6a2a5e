package server

import (
	"time"

	"meridian/config"
	"meridian/zones"
)

// bindAndBuild binds the sockets that cfg asks for and then builds its snapshot: a
// port that is taken shows before the geo database is read, which may take seconds.
// A second call, for another configuration, binds what that one asks for.
func (l *life) bindAndBuild(cfg *config.Config) (*zones.Snapshot, []config.Fault, error) {
	if err := l.bindFirst(cfg); err != nil {
		return nil, nil, &BindError{err}
	}
	return zones.Build(cfg)
}

// bindFirst binds the sockets for DNS and for the API.
func (l *life) bindFirst(cfg *config.Config) error {
	l.binding.Lock()
	defer l.binding.Unlock()
	if err := l.server.bind(&cfg.Server); err != nil {
		return err
	}
	l.bound = time.Now()
	asked := cfg.Admin.Listen
	if l.door != nil && l.door.asked == asked && l.Admin != nil {
		return nil
	}
	l.door.close()
	l.door = nil
	if l.Admin == nil || !asked.IsValid() {
		return nil
	}
	opened, err := openDoor(asked, nil, l.Logger)
	if err == nil {
		l.door = opened
	}
	return err
}

// unbind closes what bindFirst opened if the server ends before it serves.
func (l *life) unbind() {
	l.binding.Lock()
	defer l.binding.Unlock()
	l.server.unbind()
	l.door.close()
	l.door = nil
}

// leastFirstRound is how long the first probes may take if building took most of
// firstRound: as long as most of them take to fail.
const leastFirstRound = 2 * time.Second

// firstAnswer returns when the first answer is due: queries wait in the sockets for
// firstRound at most, unless building the snapshot takes longer.
func (l *life) firstAnswer(now time.Time) time.Time {
	due := l.bound.Add(firstRound)
	if least := now.Add(leastFirstRound); due.Before(least) {
		return least
	}
	return due
}
