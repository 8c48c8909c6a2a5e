package config

import (
	"log/slog"

	"gopkg.in/yaml.v3"
)

// Log holds the settings of the log.
type Log struct {
	Level slog.Level // messages below it are left out
	JSON  bool       // each line is a JSON object
}

// logLevels are the words of log.level.
var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func (d *decoder) log(to *Log) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "level", set: setValue(&to.Level, func(n *yaml.Node) (slog.Level, bool) {
				word, ok := d.oneOf(n, "level", []string{"debug", "info", "warn", "error"})
				return logLevels[word], ok
			})},
			{name: "format", set: setValue(&to.JSON, func(n *yaml.Node) (bool, bool) {
				word, ok := d.oneOf(n, "format", []string{"text", "json"})
				return word == "json", ok
			})},
		})
	}
}
