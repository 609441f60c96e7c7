package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName leaves room for what is put behind a name: file systems take 255 bytes.
const maxName = 200

// checkName says why a file's name is not taken, or nil. The error does not repeat the
// name: it may be a patient's.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("the name names a folder")
	case len(name) > maxName:
		return fmt.Errorf("the name has %d bytes; at most %d are taken", len(name), maxName)
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case strings.ContainsAny(name, `/\`):
		return errors.New("the name has a slash or a backslash in it")
	}
	for _, c := range name {
		if !unicode.IsPrint(c) { // line ends, controls, marks that turn the direction of writing
			return errors.New("the name has a character in it that does not print")
		}
	}
	return nil
}

// shortHash names a file in a log, where its name must not stand.
func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// beside returns a name with a hash before its extension: for the second file of one name.
func beside(name, hash string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + hash + ext
}

// ignored says that a name is none of ours: hidden, unfinished or a marker.
func (c *Config) ignored(name string) bool {
	return strings.HasPrefix(name, ".") || matches(c.Ignore, name) || c.Marker != "" && strings.HasSuffix(name, c.Marker)
}

// wanted says whether a file of this name is taken.
func (c *Config) wanted(name string) bool { return c.Names == nil || matches(c.Names, name) }

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}
