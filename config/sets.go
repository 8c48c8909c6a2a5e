package config

// SeveralAnswers returns for each pool whether one answer may have addresses of several members, its nested pools and its
// fallback included.
func (c *Config) SeveralAnswers() []bool {
	index := make(map[string]int, len(c.Pools))
	for i := range c.Pools {
		index[c.Pools[i].Name] = i
	}
	several, seen := make([]bool, len(c.Pools)), make([]bool, len(c.Pools))
	var find func(i int) bool
	find = func(i int) bool {
		if seen[i] {
			return several[i]
		}
		seen[i] = true
		p := &c.Pools[i]
		several[i] = p.Answers != 1
		below := []string{p.Fallback}
		for j := range p.Members {
			below = append(below, p.Members[j].Pool)
		}
		for _, name := range below {
			if at, ok := index[name]; ok && name != "" && find(at) {
				several[i] = true
			}
		}
		return several[i]
	}
	for i := range c.Pools {
		find(i)
	}
	return several
}
