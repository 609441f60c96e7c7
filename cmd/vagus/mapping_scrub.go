package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/workbench"
	"github.com/vagus-health/vagus/internal/tree"
)

// messageSource are the flags of commands that read a message without running
// a mapping.
type messageSource struct {
	Mapping string `type:"path" placeholder:"FILE" help:"A mapping that declares how the message is read."`
	Format  string `placeholder:"NAME" help:"The message's format, when it does not show."`
	Version string `name:"format-version" placeholder:"VERSION" help:"Version of the format, when the message does not say."`
}

func (m messageSource) source(b bench) (workbench.Source, error) {
	s := workbench.Source{Format: m.Format, Version: m.Version}
	var err error
	if m.Mapping != "" {
		s.Mapping, err = b.existing(m.Mapping)
	}
	return s, err
}

type mappingScrubCmd struct {
	mappingRoot
	messageSource
	Files   []string `arg:"" help:"Messages; - reads standard input."`
	KeyFile string   `name:"key-file" type:"existingfile" placeholder:"FILE" help:"Key that makes the replacements, at least 16 bytes: with one key, one value is replaced alike in every message. Default: a new key for each run."`
	Keep    []string `default:"admin,order" placeholder:"LABEL" help:"Labels whose values stay (${default})."`
	Out     string   `type:"path" placeholder:"DIR" help:"Write the results there, under the names of the messages; default: standard output."`
	Output  string   `short:"o" enum:"text,json" default:"text" help:"text, or json: what was replaced in the files of --out."`
}

// Help says what is replaced.
func (mappingScrubCmd) Help() string {
	return `Every value that may tell of a person is replaced by one of the same length and format: letters by letters of
the same case, digits by digits, dates by dates that lie 1 to 5 years before, all of a message by the same number
of days. What may tell is what the standard's dictionary labels; free text, Z segments and names that nothing
describes are replaced wholly. Codes that say what a value is (MR, official, home) stay, and so do labels named with
--keep, dates excepted. All else stays to the byte.

The result is checked: when a replaced value of 6 characters is found anywhere in it, or one of 3 to 5 as a word,
nothing is written. Read the result before you hand it on all the same: a pattern of rare codes can tell, too.`
}

func (cmd mappingScrubCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	source, err := cmd.source(b)
	if err != nil {
		return err
	}
	key, err := cmd.key()
	if err != nil {
		return err
	}
	var keep tree.Labels
	for _, name := range cmd.Keep {
		l, ok := tree.ParseLabel(name)
		if !ok {
			return fmt.Errorf("--keep: no label %q: there are %s", name, strings.Join(tree.LabelNames(), ", "))
		}
		keep |= l
	}
	if len(cmd.Files) > 1 && cmd.Out == "" {
		return errors.New("several messages need a directory: --out DIR")
	}
	if cmd.Output == "json" && cmd.Out == "" {
		return errors.New("standard output gets the message itself: --output json wants --out DIR")
	}
	report := []scrubbed{}
	for _, file := range cmd.Files {
		body, err := readMessage(c, file)
		if err != nil {
			return err
		}
		dialect, format, _, err := b.Open(source, body)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		parts := [][]byte{body}
		if s, ok := dialect.(tree.Splitter); ok {
			if parts, err = s.Split(body); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		if len(parts) > 1 && cmd.Out == "" {
			return fmt.Errorf("%s holds %d messages, each becomes a file: name a directory with --out", file, len(parts))
		}
		s := workbench.Scrubber{Dialect: dialect, Format: format, Key: key, Keep: keep}
		for i, part := range parts {
			done, err := s.Scrub(part)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if cmd.Out == "" {
				if _, err := c.out.Write(done.Body); err != nil {
					return err
				}
				continue
			}
			out, err := cmd.write(file, i, len(parts), done.Body)
			if err != nil {
				return err
			}
			if report = append(report, scrubbed{relative(out), done.Replaced, done.Kept}); cmd.Output == "text" {
				c.note("%s: %d values replaced, %d kept", filepath.Base(file), done.Replaced, done.Kept)
			}
		}
	}
	if cmd.Output == "json" {
		return c.printJSON(report)
	}
	return nil
}

// scrubbed is what became of one message.
type scrubbed struct {
	File     string `json:"file"`
	Replaced int    `json:"replaced"`
	Kept     int    `json:"kept"`
}

// key reads the key, or makes one.
func (cmd mappingScrubCmd) key() ([]byte, error) {
	if cmd.KeyFile == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails: crypto/rand
		return key, nil
	}
	key, err := os.ReadFile(cmd.KeyFile)
	if err == nil && len(key) < 16 {
		err = fmt.Errorf("%s has %d bytes; a key has at least 16", cmd.KeyFile, len(key))
	}
	return key, err
}

func (cmd mappingScrubCmd) write(file string, i, of int, body []byte) (string, error) {
	if err := os.MkdirAll(cmd.Out, 0o755); err != nil {
		return "", err
	}
	name := filepath.Base(file)
	if file == "-" {
		name = "message"
	}
	if of > 1 {
		ext := filepath.Ext(name)
		name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i+1, ext)
	}
	name = filepath.Join(cmd.Out, name)
	return name, os.WriteFile(name, body, 0o644)
}
