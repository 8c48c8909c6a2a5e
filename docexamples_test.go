package meridian_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"meridian/config"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// TestConfigurationsInTheManualAreValid loads every fenced YAML block of the README and the manual.
func TestConfigurationsInTheManualAreValid(t *testing.T) {
	found := 0
	check := func(file string) {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllStringSubmatch(string(page), -1) {
			found++
			if _, _, err := config.Parse(file, []byte(block[1])); err != nil {
				t.Errorf("%v in\n%s", err, block[1])
			}
		}
	}
	check("README.md")
	err := filepath.WalkDir("docs", func(file string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".md") {
			check(file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 30 {
		t.Errorf("only %d configurations found", found)
	}
}
