package snapshot

import (
	"fmt"

	"meridian/config"
	"meridian/pools"
)

// usualTables is the largest usual number of geo tables; more cause a warning. Each distinct set of regions needs
// one, of 14 MB and more.
const usualTables = 16

// warningsOfTables warns of the memory and time that many geo tables need.
func warningsOfTables(cfg *config.Config, tree *pools.Tree) []config.Error {
	tables, bytes := tree.Tables()
	if tables <= usualTables {
		return nil
	}
	return []config.Error{cfg.ErrorAt(cfg.Pools[0].Pos, "pools",
		fmt.Sprintf("the pools have %d distinct sets of regions or matches, which need tables of %d MB", tables, bytes>>20),
		"give pools that may share a table the same regions")}
}
