package plan

// Served is every endpoint and cname, and what it gets.
func (f *Forecast) Served() []Target { return f.served }
