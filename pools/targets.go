package pools

import (
	"cmp"
	"fmt"
	"slices"

	"meridian/config"
	"meridian/health"
)

// Targets lists what must be probed, each distinct (check, address) once. Do not change it.
func (t *Tree) Targets() []health.Target { return t.targets }

// TargetUse is a member that has a target's address or, with Region alone, a region
// that is probed there.
type TargetUse struct{ Pool, Member, Region string }

// TargetUses lists the members that use a target, by its index in Targets, in the order written, then the regions.
func (t *Tree) TargetUses(target int) []TargetUse {
	var uses []TargetUse
	members := slices.Clone(t.membersByTarget.of(uint32(target)))
	slices.SortFunc(members, func(a, b memberRef) int { return cmp.Or(cmp.Compare(a.pool, b.pool), cmp.Compare(a.member, b.member)) })
	for _, u := range members {
		p := &t.cfg.Pools[u.pool]
		m := &p.Members[u.member]
		uses = append(uses, TargetUse{p.Name, m.Name, m.Region})
	}
	for _, region := range t.regionsByTarget[uint32(target)] {
		uses = append(uses, TargetUse{Region: t.checked[region].config.Name})
	}
	return uses
}

// SimulateVerdict returns the transitions that set all addresses of an endpoint to a health
// state when passed to Apply, for simulations without a prober. They have no time, so
// max_ejection does not defer them. Members that share an address and its check change
// together.
func (t *Tree) SimulateVerdict(pool, member string, to health.Verdict) ([]health.Transition, error) {
	id, i, err := t.find(pool, member)
	if err != nil {
		return nil, err
	}
	m := &t.members[t.pools[id].first+uint32(i)]
	if m.child != none {
		return nil, fmt.Errorf("member %q of pool %q is pool %q: its health state follows its members; set those", member, pool, t.cfg.Pools[m.child].Name)
	}
	if m.addresses() == 0 {
		return nil, fmt.Errorf("member %q of pool %q has no address: its target %q is not resolved", member, pool, t.cfg.Pools[id].Members[i].Target)
	}
	now := t.state.Load()
	var transitions []health.Transition
	for _, r := range t.refs[m.first:][:int(m.n4)+int(m.n6)] {
		if r.target == none {
			return nil, fmt.Errorf("member %q of pool %q has no check: it is always up", member, pool)
		}
		transitions = append(transitions, health.Transition{
			Index:  int(r.target),
			Target: t.targets[r.target],
			From:   now.verdict(r.target),
			To:     to,
			Reason: "simulated",
		})
	}
	return transitions, nil
}

// find returns a member by name.
func (t *Tree) find(pool, member string) (ID, int, error) {
	for id := range t.cfg.Pools {
		p := &t.cfg.Pools[id]
		if p.Name != pool {
			continue
		}
		for i := range p.Members {
			if p.Members[i].Name == member {
				return ID(id), i, nil
			}
		}
		return 0, 0, fmt.Errorf("pool %q has no member %q; it has %s", pool, member, memberNames(p))
	}
	return 0, 0, fmt.Errorf("no pool %q", pool)
}

// memberNames lists a pool's members, as many as fit a message.
func memberNames(p *config.Pool) string {
	const most = 8
	text := ""
	for i := range p.Members {
		if i == most {
			return text + fmt.Sprintf(" and %d more", len(p.Members)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q", p.Members[i].Name)
	}
	return text
}
