package hl7

import (
	"bytes"
	"errors"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

var _ tree.Sender = dialect{}

// controlIDLength is what every version's MSH-10 takes.
const controlIDLength = 20

// A sealed message is ready to be sent: the same unit gives the same bytes.
type sealed struct {
	frame []byte
	id    string // MSH-10
	wants waits
}

// waits are the acknowledgements that a message asks for.
type waits struct{ accept, application, original bool }

// awaited says which acknowledgements tell what became of a message with this
// MSH-15 and MSH-16 (HL7 2.5.1 section 2.9.2 and table 0155); ok is false when none
// tells that it arrived.
func awaited(accept, application string) (w waits, ok bool) {
	if accept == "" && application == "" { // original mode
		return waits{application: true, original: true}, true
	}
	w.accept = accept == "AL" || accept == "SU"
	w.application = application == "AL" || application == "SU"
	return w, w.accept || w.application
}

// Supplied names the fields of a segment that a mapping need not write, because the
// sink does.
func (d dialect) Supplied(segment string) []string {
	if segment == "MSH" {
		return []string{"1", "2", "7", "10", "11"}
	}
	return nil
}

// seal completes MSH where the mapping left it empty: MSH-7 is when the unit was
// mapped, and MSH-10 the beginning of the unit's id. Neither changes when the
// unit is sent again, so that the receiver knows it again.
func seal(u *broker.Unit, doc []byte, h Header) (*sealed, error) {
	wide, isWide := wideCharset(doc)
	if isWide {
		text, err := wide.decodeAll(doc)
		if err != nil {
			return nil, errors.New("the document is not in its character set (MSH-18)")
		}
		doc = text
	}
	head, rest, _ := bytes.Cut(doc, []byte{'\r'})
	if !bytes.HasPrefix(head, []byte("MSH|")) {
		return nil, errors.New("the document does not begin with MSH")
	}
	fields := bytes.Split(head, []byte{'|'}) // fields[n-1] is MSH-n
	fill := func(n int, v string) {
		for len(fields) < n && v != "" {
			fields = append(fields, nil)
		}
		if v != "" && len(fields[n-1]) == 0 {
			fields[n-1] = []byte(v)
		}
	}
	fill(3, h.SendingApplication)
	fill(4, h.SendingFacility)
	fill(5, h.ReceivingApplication)
	fill(6, h.ReceivingFacility)
	fill(7, u.MappedAt.UTC().Truncate(time.Second).Format("20060102150405-0700"))
	fill(10, u.ID[:min(len(u.ID), controlIDLength)])
	fill(11, h.ProcessingID)
	if len(fields) < 16 || len(fields[14]) == 0 && len(fields[15]) == 0 {
		fill(15, h.AcceptAck)
		fill(16, h.ApplicationAck)
	}
	content := append(append(bytes.Join(fields, []byte{'|'}), '\r'), rest...)
	if isWide {
		var err error
		if content, err = wide.encodeAll(content); err != nil {
			return nil, errors.New("the header of the sink has characters that the document's character set (MSH-18) does not have")
		}
	}
	e, err := readEnvelope(content)
	if err == nil {
		if bad := e.check(); bad != nil {
			err = bad
		}
	}
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(content, startBlock) >= 0 || bytes.Contains(content, []byte{endBlock, carriage}) {
		return nil, errors.New("the document holds the bytes that frame a message (0B, or 1C 0D): its mapping must leave them out")
	}
	s := &sealed{frame: appendFrame(make([]byte, 0, len(content)+3), content), id: string(e.controlID())}
	var told bool
	if s.wants, told = awaited(string(bytes.TrimSpace(e.fields[15])), string(bytes.TrimSpace(e.fields[16]))); !told {
		return nil, errors.New("MSH-15 and MSH-16 ask for no answer that says that it arrived: let the mapping write AL into MSH-15")
	}
	return s, nil
}
