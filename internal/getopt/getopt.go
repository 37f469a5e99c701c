// Package getopt parses a command line as getopt(3) of the GNU C library does, which is what existing command lines
// of pen rely on: flags in one word (-frU), arguments attached (-x500) or in the next word (-x 500), options between
// and after the operands, and -- as the end of options. Unlike GNU's it does so on every system, and does not
// look at POSIXLY_CORRECT.
package getopt

import (
	"fmt"
	"iter"
	"strings"
)

// Option is one option of the command line.
type Option struct {
	Flag byte   // the letter
	Arg  string // its argument, if it takes one
}

// An Error is an option that is wrong. Its text is that of GNU getopt, without the name of the program.
type Error struct {
	Flag    byte
	Missing bool // the option is known, its argument is missing
}

func (e *Error) Error() string {
	if e.Missing {
		return fmt.Sprintf("option requires an argument -- '%s'", []byte{e.Flag})
	}
	return fmt.Sprintf("invalid option -- '%s'", []byte{e.Flag})
}

// Parser walks once over a command line. It is for one goroutine.
type Parser struct {
	known    string   // option letters, a colon after each that takes an argument
	words    []string // not yet looked at
	cluster  string   // rest of the word that holds the present option
	operands []string
}

// New makes a parser of args, which begin after the program's name. known lists the option letters in the form of
// getopt(3): a colon follows each that takes an argument.
func New(args []string, known string) *Parser { return &Parser{known: known, words: args} }

// Options yields the options from left to right. An *Error comes with the letter that it is about, and parsing can
// go on after it.
func (p *Parser) Options() iter.Seq2[Option, error] {
	return func(yield func(Option, error) bool) {
		for p.findOption() {
			if !yield(p.option()) {
				return
			}
		}
	}
}

// Operands are the words that are neither options nor arguments of options, complete when Options has ended.
func (p *Parser) Operands() []string { return p.operands }

// findOption moves to the next option letter and collects the operands on the way.
func (p *Parser) findOption() bool {
	for p.cluster == "" {
		if len(p.words) == 0 {
			return false
		}
		word := p.words[0]
		p.words = p.words[1:]
		switch {
		case word == "--":
			p.operands = append(p.operands, p.words...)
			p.words = nil
		case len(word) > 1 && word[0] == '-':
			p.cluster = word[1:]
		default:
			p.operands = append(p.operands, word)
		}
	}
	return true
}

// option takes the option at the start of the cluster.
func (p *Parser) option() (Option, error) {
	o := Option{Flag: p.cluster[0]}
	p.cluster = p.cluster[1:]
	i := strings.IndexByte(p.known, o.Flag)
	if i < 0 || o.Flag == ':' {
		return o, &Error{Flag: o.Flag}
	}
	if !strings.HasPrefix(p.known[i+1:], ":") {
		return o, nil
	}
	switch {
	case p.cluster != "":
		o.Arg, p.cluster = p.cluster, ""
	case len(p.words) > 0:
		o.Arg, p.words = p.words[0], p.words[1:]
	default:
		return o, &Error{Flag: o.Flag, Missing: true}
	}
	return o, nil
}
