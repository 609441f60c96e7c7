package mapping

import (
	"regexp"
	"strings"
)

// fileNames finds the files that an issue's text names: those with a directory,
// and what the system could not open.
var fileNames = regexp.MustCompile(`[\w.-]+(?:/[\w.-]+)+\.(?:ya?ml|json|csv)\b|\b[\w-]+(?:\.[\w-]+)*\.(?:ya?ml|json|csv):`)

// Named returns the issues with their files named as show does, also within
// their texts: by the paths that a person can open.
func (list Issues) Named(show func(name string) string) Issues {
	out := make(Issues, len(list))
	for n, i := range list {
		if i.File != "" {
			i.File = show(i.File)
		}
		i.Text = fileNames.ReplaceAllStringFunc(i.Text, func(name string) string {
			bare, colon := strings.CutSuffix(name, ":")
			if bare = show(bare); colon {
				bare += ":"
			}
			return bare
		})
		out[n] = i
	}
	return out
}
