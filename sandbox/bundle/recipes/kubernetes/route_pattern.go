package restful

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used, which those of an API server's thousands of routes
// never are: its router goes by the parts of a path.
type pattern struct {
	expression string
	once       sync.Once
	compiled   *regexp.Regexp
}

func newPattern(expression string) (*pattern, error) {
	return &pattern{expression: expression}, nil
}

func (p *pattern) FindStringSubmatch(path string) []string { return p.regexp().FindStringSubmatch(path) }

func (p *pattern) MatchString(path string) bool { return p.regexp().MatchString(path) }

func (p *pattern) regexp() *regexp.Regexp {
	p.once.Do(func() { p.compiled = regexp.MustCompile(p.expression) })
	return p.compiled
}
