package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"meridian/pools"
)

// tellSpills tells of the regions of a tree that are lost and whose clients are
// spread by free capacity, and of those that are back.
func (l *life) tellSpills(tree *pools.Tree) {
	for _, news := range tree.SpillNews() {
		level, text := slog.LevelWarn, "region lost: its clients are spread"
		if news.Ended {
			level, text = slog.LevelInfo, "region back: its clients go home"
		}
		l.Logger.Log(context.Background(), level, text,
			"pool", news.Pool, "region", news.Region, "load", news.Load, "parts", partsText(&news.Spill))
	}
}

// partsText is who takes how much, as many as fit a line.
func partsText(sp *pools.Spill) string {
	const most = 8
	var words []string
	for i, p := range sp.Parts {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(sp.Parts)-most))
			break
		}
		words = append(words, fmt.Sprintf("%s=%.0f%%", p.Region, 100*p.Part))
	}
	return strings.Join(append(words, fmt.Sprintf("rest=%.0f%%", 100*sp.Rest)), " ")
}
