package control

import (
	"errors"
	"fmt"
	"slices"

	"meridian/config"
	"meridian/control/generations"
	"meridian/plan"
	"meridian/snapshot"
)

// Loader builds the snapshot of the files of a configuration.
type Loader func([]config.Document) (*snapshot.Snapshot, error)

// UseLoader sets the loader for configurations to check, before the first configuration serves.
func (c *Control) UseLoader(load Loader) { c.load = load }

// UseGenerations sets the store of the configurations that have served.
func (c *Control) UseGenerations(s *generations.Store) { c.generations.Store(s) }

// Generations returns the store of the configurations that have served; nil: none serves yet.
func (c *Control) Generations() *generations.Store { return c.generations.Load() }

// GenerationNumber returns the number of the served configuration among those that have served; 0: it is not stored.
func (c *Control) GenerationNumber() uint64 {
	if shared := c.SharedConfig(); shared != nil {
		return shared.Generation()
	}
	s := c.Generations()
	if s == nil {
		return 0
	}
	if g := s.Latest(); g != nil && g.Hash == c.ConfigTag() {
		return g.Number
	}
	return 0
}

// ConfigTag returns the hash of the served configuration.
func (c *Control) ConfigTag() string { return c.currentView().Hash }

// ServedFiles returns the files of the served configuration.
func (c *Control) ServedFiles() (generations.Generation, []generations.File, error) {
	if s := c.Generations(); s != nil {
		if g := s.Latest(); g != nil && g.Hash == c.ConfigTag() {
			return s.Files(g.Number)
		}
	}
	return generations.Generation{}, nil, &RequestError{
		What: "the text of the served configuration is not stored: its files were changed while it was loaded, or the disk was full",
		Hint: "reload, then ask again",
	}
}

// Candidate returns the documents of the served configuration with another text of one file. An empty name is
// that of the only file.
func (c *Control) Candidate(name string, text []byte) ([]config.Document, error) {
	cfg := c.currentView().Snapshot.Config
	files := cfg.Files()
	if cfg.Root != "" {
		return nil, &RequestError{What: "the last good configuration serves, not the file", Hint: "correct the file, then reload"}
	}
	if name == "" && cfg.SharedFile() != "" {
		return c.sharedCandidate(cfg, text)
	}
	if name == "" && len(files) > 1 {
		return nil, &RequestError{What: fmt.Sprintf("the configuration has %d files", len(files)), Hint: fmt.Sprintf("name one by ?file=, such as %s", files[0])}
	}
	if name == "" {
		return []config.Document{{File: files[0], Text: text}}, nil
	}
	if name != "" && name == cfg.SharedFile() {
		return nil, &RequestError{What: name + " is the configuration that the nodes of the cluster share", Hint: "leave out ?file= (--file): the change then reaches all nodes"}
	}
	i := slices.Index(files, name)
	if i < 0 {
		return nil, notFound(fmt.Sprintf("no file %q in the configuration", name), files)
	}
	documents, err := config.ReadDocuments(files...)
	if err != nil {
		return nil, err
	}
	documents[i].Text = text
	return documents, nil
}

// StoredFiles returns a stored generation and its files.
func (c *Control) StoredFiles(number uint64) (generations.Generation, []generations.File, error) {
	g, files, err := c.Generations().Files(number)
	if errors.Is(err, generations.ErrUnknown) {
		err = notFound(fmt.Sprintf("no generation %d", number), names(c.Generations().List(), func(g *generations.Generation) string { return fmt.Sprint(g.Number) }))
	}
	return g, files, err
}

// RestoreCandidate returns the documents of a stored generation, which must be of the same files.
func (c *Control) RestoreCandidate(number uint64) ([]config.Document, error) {
	g, files, err := c.StoredFiles(number)
	if err != nil {
		return nil, err
	}
	if served := c.currentView().Snapshot.Config.Files(); !slices.Equal(g.Files, served) {
		return nil, &RequestError{What: fmt.Sprintf("generation %d is of the files %v, not of %v", number, g.Files, served), Hint: "restore it by hand"}
	}
	documents := make([]config.Document, len(files))
	for i, f := range files {
		documents[i] = config.Document{File: f.Path, Text: []byte(f.Text)}
	}
	return documents, nil
}

// CheckConfig loads a configuration as a reload does, without serving it, and returns what it has.
func (c *Control) CheckConfig(documents []config.Document) (*config.Config, error) {
	loaded, err := c.load(documents)
	if err != nil {
		return nil, err
	}
	defer loaded.Close()
	return loaded.Config, nil
}

// PlanConfig forecasts the effect of a configuration on the traffic that is served now.
func (c *Control) PlanConfig(documents []config.Document) (*plan.Forecast, error) {
	loaded, err := c.load(documents)
	if err != nil {
		return nil, err
	}
	defer loaded.Close()
	at := c.hold()
	defer at.Release()
	s, err := at.replacedBy(loaded)
	if err != nil {
		return nil, err
	}
	return plan.Compare(s.before, s.after, plan.AllIPv4(s.after.Geo))
}

// CheckMoved returns an error if serving another configuration moves more than a part of the clients.
func (c *Control) CheckMoved(loaded *snapshot.Snapshot, most float64) error {
	at := c.hold()
	defer at.Release()
	s, err := at.replacedBy(loaded)
	if err != nil {
		return err
	}
	moved, err := s.moved()
	if err == nil && moved > most {
		err = &RequestError{What: fmt.Sprintf("the configuration would move %.1f %% of the clients, more than max_moved", 100*moved), Hint: "POST /v1/config/plan shows which"}
	}
	return err
}
