package meridian_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// bannedWords returns words that are archaic, have no clear noun, or have a plain replacement.
// Not listed: "fault", the term for injected faults, and words that are rare but correct.
func bannedWords() map[string]string {
	return map[string]string{
		"aforesaid": "name it", "ail": "affect", "ails": "affects", "alike": "the same", "anew": "again",
		"bids": "requests", "fares": "performs", "heed": "apply", "heeded": "applied", "heeds": "applies",
		"henceforth": "from now on", "hither": "here", "ill": "unhealthy or failed", "lest": "so that ... not",
		"likewise": "also", "meanwhile": "name the other event", "mend": "fix", "mended": "fixed", "mends": "fixes",
		"nobody": "no client, member or goroutine", "somebody": "a client, member or goroutine",
		"stands": "is", "tell": "report, log or return", "tells": "reports, logs or returns", "thereof": "its",
		"thither": "there", "told": "reported, logged or given", "whatsoever": "any", "whence": "from which",
		"wherein": "in which", "whoever": "name the noun", "whom": "name the noun", "whomever": "name the noun",
		"whose": "name the noun, or 'with'",
	}
}

// languageBars returns the maximum number of banned words for 1,000 words, by kind of text.
// Change a bar only to lower it, after removing words.
func languageBars() map[string]float64 {
	return map[string]float64{"comments": 0.6, "texts": 0.6, "pages": 0.6}
}

// wordCount counts the words of one kind of text, and the banned ones with their places.
type wordCount struct {
	words  int
	banned []string
}

// add counts the words of a text. Quoted words and code do not count.
func (c *wordCount) add(place, text string) {
	banned := bannedWords()
	text = quotedText.ReplaceAllString(text, " ")
	for _, word := range plainWord.FindAllString(text, -1) {
		c.words++
		if better, ok := banned[strings.ToLower(word)]; ok {
			c.banned = append(c.banned, place+": "+strconv.Quote(word)+"; write: "+better)
		}
	}
}

var (
	quotedText = regexp.MustCompile("`[^`]*`|\"[^\"\n]*\"")
	plainWord  = regexp.MustCompile(`[A-Za-z']+`)
	fencedCode = regexp.MustCompile("(?s)```.*?```")
)

// TestLanguageIsPlain counts banned words in comments, in log, error and help texts, and in
// the Markdown pages, and compares their rate with the bars.
func TestLanguageIsPlain(t *testing.T) {
	counts := map[string]*wordCount{"comments": {}, "texts": {}, "pages": {}}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == ".git" || entry.Name() == "dist" || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go":
			return countGo(path, counts["comments"], counts["texts"])
		case ".md":
			page, err := os.ReadFile(path)
			counts["pages"].add(path, fencedCode.ReplaceAllString(string(page), " "))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, bar := range languageBars() {
		c := counts[kind]
		if c.words < 1000 {
			t.Fatalf("%s: only %d words found", kind, c.words)
		}
		rate := 1000 * float64(len(c.banned)) / float64(c.words)
		t.Logf("%s: %.2f banned words for 1,000 words, bar %g", kind, rate, bar)
		if rate > bar {
			sort.Strings(c.banned)
			t.Errorf("%s: %.2f banned words for 1,000 words, want at most %g:\n%s", kind, rate, bar, strings.Join(c.banned, "\n"))
		}
	}
}

// countGo counts the words of a Go file: its comments and, outside tests, its string
// literals of several words.
func countGo(path string, comments, texts *wordCount) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, group := range file.Comments {
		comments.add(files.Position(group.Pos()).String(), group.Text())
	}
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && strings.Contains(text, " ") {
				texts.add(files.Position(literal.Pos()).String(), text)
			}
		}
		return true
	})
	return nil
}
