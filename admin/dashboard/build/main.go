// Command build bundles the dashboard into ../dist: its TypeScript and styles by esbuild, and the
// countries of the map in their projection. Run it by go generate ./admin/dashboard.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"

	"meridian/plan"
)

func main() {
	if err := run(".", "dist"); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// run writes the bundle of the dashboard in dir to the folder into.
func run(dir, into string) error {
	files, err := bundle(dir)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(into, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle returns the files of the dashboard in dir, by name.
func bundle(dir string) (map[string][]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	if files["world.json"], err = worldJSON(); err != nil {
		return nil, err
	}
	for _, name := range []string{"index.html", "icon.svg"} {
		if files[name], err = os.ReadFile(filepath.Join(dir, "src", name)); err != nil {
			return nil, err
		}
	}
	built := api.Build(options(dir))
	for _, m := range built.Errors {
		err = errors.Join(err, problem(m))
	}
	for _, f := range built.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	return files, err
}

// options are the settings of esbuild.
func options(dir string) api.BuildOptions {
	parties := filepath.Join(dir, "third_party")
	return api.BuildOptions{
		AbsWorkingDir: dir,
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: "src/main.tsx", OutputPath: "app"},
			{InputPath: "src/style.css", OutputPath: "style"},
		},
		Outdir: filepath.Join(dir, "dist"),
		Alias: map[string]string{
			"preact":       filepath.Join(parties, "preact", "preact.js"),
			"preact/hooks": filepath.Join(parties, "preact", "hooks.js"),
			"uplot":        filepath.Join(parties, "uplot", "uPlot.esm.js"),
		},
		Bundle:            true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		LegalComments:     api.LegalCommentsInline,
		JSXFactory:        "h",
		JSXFragment:       "Fragment",
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		TsconfigRaw:       "{}",
	}
}

// problem converts an error of esbuild.
func problem(m api.Message) error {
	if m.Location == nil {
		return errors.New(m.Text)
	}
	return fmt.Errorf("%s:%d:%d: %s", m.Location.File, m.Location.Line, m.Location.Column+1, m.Text)
}

// worldJSON returns the shapes of the countries: a list of [code, SVG path].
func worldJSON() ([]byte, error) {
	countries, err := plan.Countries()
	if err != nil {
		return nil, err
	}
	list := make([][2]string, len(countries))
	for i, c := range countries {
		list[i] = [2]string{c.Code, c.Path}
	}
	return json.Marshal(list)
}
