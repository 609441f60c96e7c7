package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/ops"
)

// outage sends a third of the admissions, cuts the link, sends a third, restores
// the link, sends the rest, and holds Odoo against all of them.
func (d *demo) outage(ctx context.Context) error {
	sender, err := Dial(ctx, d.agent.FeedAddr("adt").String())
	if err != nil {
		return err
	}
	defer sender.Close()
	d.Say("\nHL7         %d admissions and updates by MLLP", d.Messages)
	hospital, last := NewAdmissions(1, d.Patients), map[string]Admission{}
	cutAt, restoreAt, isCut := d.Messages/3, 2*d.Messages/3, false
	for n := range d.Messages {
		switch n {
		case cutAt:
			d.link.Cut()
			isCut = true
			d.Say("            link cut after %d messages; the hospital goes on sending", n)
		case restoreAt:
			if err := d.waiting(ctx, restoreAt-cutAt); err != nil {
				return err
			}
			d.link.Restore()
			isCut = false
			d.Say("            link restored")
		}
		m := hospital.Next()
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		ack, answered, err := sender.Send(attempt, m.Body)
		cancel()
		if err != nil {
			return fmt.Errorf("send %s: %w", m.ControlID, err)
		}
		d.sent("HL7 MLLP", "adt", m.ControlID, "ADT "+m.Event, ack, began, 1).LinkCut = isCut
		if ack != "CA" || answered != m.ControlID { // enhanced mode: the messages ask for a commit acknowledgement
			return fmt.Errorf("%s was answered %s for %s", m.ControlID, ack, answered)
		}
		last[m.MRN] = m
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	return d.check(last)
}

// waiting tells what the site says of itself while its link is down.
func (d *demo) waiting(ctx context.Context, atLeast int) error {
	site, err := ops.NewClient("http://"+d.agent.OpsAddr(), d.token, "demo")
	if err != nil {
		return err
	}
	return d.until(ctx, 20*time.Second, "the site to notice that its link is down", func() (bool, error) {
		s, err := site.Status(ctx)
		if err != nil {
			return false, err
		}
		north := s.Sites[0]
		adt := slices.IndexFunc(north.Feeds, func(f ops.FeedStatus) bool { return f.Feed == "adt" })
		if north.LinkUp || adt < 0 || north.Feeds[adt].Waiting < atLeast {
			return false, nil
		}
		d.Say("            the site says: %s; %s", north.Verdict.Text, north.Feeds[adt].Verdict.Text)
		return true, nil
	})
}

// check holds Odoo against the last message of each patient.
func (d *demo) check(last map[string]Admission) error {
	patients := map[string]simulated.Record{}
	for _, r := range d.odoo.Records("res.partner") {
		ref, _ := r.Values["ref"].(string)
		if _, twice := patients[ref]; ref != "" && twice {
			return errors.New("a patient is twice in Odoo")
		}
		patients[ref] = r
	}
	for mrn, m := range last {
		street2, _ := patients[mrn].Values["street2"].(string)
		if !strings.HasSuffix(street2, fmt.Sprintf(" v%d", m.Version)) {
			return fmt.Errorf("the patient of %s is not in Odoo as that message, its last one, says", m.ControlID)
		}
	}
	d.Say("            Odoo has %d patients, each once and as its last message says", len(last))
	return nil
}
