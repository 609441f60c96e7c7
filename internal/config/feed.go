package config

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/sftp"
)

// SFTP is a server and the folder of it that is watched.
type SFTP struct {
	Server sftp.Config   `yaml:",inline"`
	Folder folder.Config `yaml:",inline"`
}

// A part is a setting of a feed that says how messages come or what they are.
type part struct {
	name  string
	given bool
}

// parts returns what a feed may have: sources by themselves, transports, formats.
// A new connector is one line here, one in files and its field.
func (f *Feed) parts() (sources, transports, formats []part) {
	mllp := f.HL7 != nil && f.HL7.Listen != ""
	return []part{
			{"hl7", mllp},
			{"odoo", f.Odoo != nil},
			{"fhir", f.FHIR != nil},
		}, []part{
			{"folder", f.Folder != nil},
			{"http", f.HTTP != nil},
			{"sftp", f.SFTP != nil},
		}, []part{
			{"hl7", f.HL7 != nil && !mllp},
			{"json", f.JSON != nil},
			{"tabular", f.Tabular != nil},
			{"x12", f.X12 != nil},
		}
}

// files returns the paths that are relative to the configuration.
func (f *Feed) files() (files []*string) {
	if c := f.HL7; c != nil {
		files = append(files, &c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.ClientCAFile)
	}
	if c := f.Odoo; c != nil {
		files = append(files, &c.TLS.CAFile)
		if h := c.Hints; h != nil {
			files = append(files, &h.CertFile, &h.KeyFile)
		}
	}
	if c := f.FHIR; c != nil {
		files = append(files, c.Files()...)
	}
	if c := f.Folder; c != nil {
		files = append(files, &c.Dir)
	}
	if c := f.HTTP; c != nil {
		files = append(files, &c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.ClientCAFile)
	}
	return files
}

// checkParts checks that a feed has one source, or one transport and one format. at
// makes the error of a setting.
func (f *Feed) checkParts(at func(field, format string, args ...any) error) error {
	sources, transports, formats := f.parts()
	source, transport, format := given(sources), given(transports), given(formats)
	switch {
	case len(source)+len(transport)+len(format) == 0:
		return at("hl7", "no connector: give its settings, such as hl7: { listen: 0.0.0.0:2575 }, or a transport (%s) and a format (%s)", names(transports), names(formats))
	case len(source) > 1:
		return at(source[1], "a feed has one connector, and this one has %s as well", source[0])
	case len(source) == 1 && len(transport) > 0:
		return at(transport[0], "%s brings its messages itself%s; give each a feed of its own", source[0], f.orWithoutListen(source[0], transport[0]))
	case len(source) == 1 && len(format) > 0:
		return at(format[0], "%s is a connector by itself and reads its own format; give each a feed of its own", source[0])
	case len(transport) > 1:
		return at(transport[1], "a feed has one transport, and this one has %s as well", transport[0])
	case len(format) > 1:
		return at(format[1], "a feed has one format, and this one has %s as well", format[0])
	case len(source) == 0 && len(transport) == 0 && format[0] == "hl7":
		return at("hl7.listen", "missing: write host:port, such as 0.0.0.0:2575, to receive by MLLP, or give the feed a transport (%s)", names(transports))
	case len(source) == 0 && len(transport) == 0:
		return at(format[0], "is a format, and nothing brings its messages: give the feed a transport (%s)", names(transports))
	case len(source) == 0 && len(format) == 0:
		return at(transport[0], "is a transport, and nothing says what its messages are: give the feed a format (%s)", names(formats))
	case f.Odoo != nil && f.Validate != "":
		return at("validate", "%s is for senders who hear the answer; nobody sends what a database holds: leave it out", f.Validate)
	case f.FHIR != nil && f.FHIR.Server != nil && f.Validate != "":
		return at("validate", "%s is for senders who hear the answer; nobody sends what a server is asked for: leave it out, or give fhir.endpoint a feed of its own", f.Validate)
	}
	return nil
}

func (f *Feed) orWithoutListen(source, transport string) string {
	if source != "hl7" {
		return ""
	}
	return " where it has listen: leave that out to read HL7 that " + transport + " brings"
}

func given(parts []part) (names []string) {
	for _, p := range parts {
		if p.given {
			names = append(names, p.name)
		}
	}
	return names
}

// names lists parts for an error: "folder, http".
func names(parts []part) string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
