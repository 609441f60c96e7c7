package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
	"github.com/vagus-health/vagus/internal/app/demo"
)

// A registration sends admissions and updates by one MLLP connection. A few of its
// patients are poison: the target fails with the first for ever, and refuses the second; the last one's messages
// lack what the mapping needs. It is a sloppy sender: now and then a
// control id is one that it had used before, for somebody else.
type registration struct {
	names
	addr       string
	admissions *demo.Admissions
	patients   int
	want       map[string]audit.Want // by record number; none: Applied
	rnd        *rand.Rand
	used       [][2]string // control ids and the patients they were used for, at most once more
	conn       *demo.Sender
}

// seedOf keeps apart the record numbers of senders: demo.NewAdmissions has 50 beginnings.
func seedOf(n int) uint64 { return uint64(n) % 50 }

func newRegistration(r *run, n, patients int) *registration {
	s := &registration{names: names{sender: fmt.Sprintf("adt%d", n)}, addr: r.sys.feeds["adt"], patients: patients, want: map[string]audit.Want{},
		admissions: demo.NewAdmissions(seedOf(n)+50*(r.seed%1000), patients+1), rnd: rand.New(rand.NewPCG(r.seed, uint64(n)))}
	poisons := []simulated.Poison{simulated.PoisonRetry, simulated.PoisonReject}
	if r.shape.addon {
		poisons = nil // the simulated one knows none
	}
	for i, poison := range poisons {
		mrn := fmt.Sprintf("%d%05d", 40+seedOf(n), i+1)
		s.want[mrn] = audit.Held
		r.poison(mrn, poison)
	}
	return s
}

func (s *registration) next() letter {
	if s.rnd.IntN(50) == 0 {
		return s.bad()
	}
	m := s.admissions.Of(s.rnd.IntN(s.patients))
	o := audit.Offer{Message: s.names.next(), Feed: "adt", SenderID: s.sender + m.ControlID, Thing: "patient " + m.MRN, Version: m.Version, Want: audit.Applied}
	if w := s.want[m.MRN]; w != "" {
		o.Want = w
	}
	if again := len(s.used) - 1; again >= 0 && s.rnd.IntN(40) == 0 && s.used[again][1] != m.MRN {
		o.SenderID, s.used = s.used[again][0], nil
	} else if o.Want == audit.Applied {
		s.used = append(s.used, [2]string{o.SenderID, m.MRN})
	}
	return letter{offers: []audit.Offer{o}, body: []byte(strings.Replace(string(m.Body), m.ControlID, o.SenderID, 1))}
}

// bad makes a message that its mapping rejects, or one that is no HL7 at all.
func (s *registration) bad() letter {
	m := s.admissions.Of(s.patients)
	o := audit.Offer{Message: s.names.next(), Feed: "adt", SenderID: s.sender + m.ControlID, Want: audit.Dead}
	body := strings.Replace(string(m.Body), m.ControlID, o.SenderID, 1)
	if s.rnd.IntN(2) == 0 {
		o.Want = audit.Refused
		return letter{offers: []audit.Offer{o}, body: []byte(strings.Replace(body, "|"+o.SenderID+"|", "||", 1))}
	}
	return letter{offers: []audit.Offer{o}, body: []byte(strings.ReplaceAll(body, "^^^NORTH^MR", "^^^NORTH^ZZ"))}
}

func (s *registration) deliver(ctx context.Context, l letter) (string, bool, error) {
	if s.conn == nil {
		conn, err := demo.Dial(ctx, s.addr)
		if err != nil {
			return "", false, err
		}
		s.conn = conn
	}
	code, id, err := s.conn.Send(ctx, l.body)
	if err == nil && l.offers[0].Want != audit.Refused && id != l.offers[0].SenderID {
		err = fmt.Errorf("%s is answered for %s", id, l.offers[0].SenderID)
	}
	if err != nil {
		s.close()
		return "", false, err
	}
	return code, code == "CA" || code == "AA", nil
}

func (s *registration) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}
