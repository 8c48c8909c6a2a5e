package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"meridian/pools"
)

// tellWithheld tells of the turns to down that max_withdraw began to withhold in
// a tree and of those that it no longer does: an operator must know that what
// the probes say is not what is answered.
func (l *life) tellWithheld(tree *pools.Tree) {
	all := tree.Withholdings()
	if len(all) > 0 {
		l.note()
	}
	for _, h := range all {
		level := slog.LevelError
		switch h.Ended {
		case pools.Heeded:
			level = slog.LevelWarn
		case pools.Recovered:
			level = slog.LevelInfo
		}
		l.Logger.Log(context.Background(), level, "withdrawal "+h.Ended.String(),
			"check", h.Turn.Target.Check.Name, "address", h.Turn.Target.Addr.String(),
			"of", usersText(h.Users), "reason", h.Turn.Reason)
	}
}

// usersText is users as operators name them, as many as fit a line.
func usersText(users []pools.User) string {
	const most = 8
	var b strings.Builder
	for i, u := range users {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(users)-most)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		if u.Pool == "" {
			b.WriteString("region:" + u.Region)
		} else {
			b.WriteString(u.Pool + "/" + u.Member)
		}
	}
	return b.String()
}
