package zones

import (
	"fmt"

	"meridian/pools"
)

// usualTables is the largest usual number of geo tables; more cause a warning. Each distinct set of regions needs
// one, of 14 MB and more.
const usualTables = 16

// warnOfTables warns of the memory and time that many geo tables need.
func (r *report) warnOfTables(tree *pools.Tree) {
	tables, bytes := tree.Tables()
	if tables <= usualTables {
		return
	}
	r.warnings = append(r.warnings, r.cfg.ErrorAt(r.cfg.Pools[0].Pos, "pools",
		fmt.Sprintf("the pools have %d distinct sets of regions or matches, which need tables of %d MB", tables, bytes>>20),
		"give pools that may share a table the same regions"))
}
