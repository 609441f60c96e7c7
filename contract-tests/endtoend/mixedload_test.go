package endtoend_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/internal/app/demo"
)

// A ward is a part of a made-up hospital: patients whom registration, laboratory,
// billing and a record system send messages about, each by a connection of its own
// and one message after the other. What a message says ends in its version, so
// that order shows at the target. Wards share no record.
type ward struct {
	m          *mixed
	n          int
	admissions *demo.Admissions
	patients   []string // record numbers
	registered chan struct{}
}

// A volume says how many messages of each kind are sent.
type volume struct{ adt, oru, claims, fhir int }

func (v volume) messages() int { return v.adt + v.oru + v.claims + v.fhir }

// units: each claim is a message of its own.
func (v volume) units() int { return v.adt + v.oru + v.claims*claimsPerFile + v.fhir }

// share is what the n-th of several sends. Two of them bill: a hospital has one
// clearing house or two.
func (v volume) share(n, of int) volume {
	part := func(all, of int) int { return all*min(n+1, of)/of - all*min(n, of)/of }
	return volume{part(v.adt, of), part(v.oru, of), part(v.claims, min(2, of)), part(v.fhir, of)}
}

func newWard(m *mixed, n, patients int) *ward {
	w := &ward{m: m, n: n, admissions: demo.NewAdmissions(uint64(n), patients), registered: make(chan struct{})}
	for i := range patients {
		w.patients = append(w.patients, fmt.Sprintf("%d%05d", 40+n, i+1))
	}
	return w
}

// send sends that many of each, all kinds at once; it is called once.
func (w *ward) send(ctx context.Context, v volume) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var senders sync.WaitGroup
	for _, s := range []struct {
		n    int
		send func(context.Context, int) error
	}{{v.adt, w.register}, {v.oru, w.report}, {v.claims, w.bill}, {v.fhir, w.record}} {
		senders.Go(func() {
			if err := s.send(ctx, s.n); err != nil {
				w.m.s.t.Errorf("ward %d: %v", w.n, err)
				stop() // nobody waits for it
			}
		})
	}
	senders.Wait()
}

// register admits each patient, and then updates them at random.
func (w *ward) register(ctx context.Context, n int) error {
	return w.mllp(ctx, "adt", n, func(i int) (string, []byte) {
		var msg demo.Admission
		if i < len(w.patients) {
			msg = w.admissions.Of(i)
		} else {
			msg = w.admissions.Next()
		}
		id := fmt.Sprintf("R%02d%s", w.n, msg.ControlID)
		w.m.expect("patient "+msg.MRN, msg.Version)
		w.m.unit("adt", id)
		return id, []byte(strings.Replace(string(msg.Body), msg.ControlID, id, 1))
	}, func(i int) {
		if i == len(w.patients)-1 {
			close(w.registered)
		}
	})
}

var labTests = []string{"MIX-NA", "MIX-K", "MIX-HB"}

// report sends final and corrected results of patients who have been registered, and
// takes some back.
func (w *ward) report(ctx context.Context, n int) error {
	select {
	case <-w.registered:
	case <-ctx.Done():
		return ctx.Err()
	}
	rnd, version := rand.New(rand.NewPCG(uint64(w.n), 11)), map[string]int{}
	return w.mllp(ctx, "oru", n, func(i int) (string, []byte) {
		mrn, test := w.patients[rnd.IntN(len(w.patients))], rnd.IntN(len(labTests))
		key := "charge ACC" + mrn + " " + labTests[test]
		version[key]++
		v := version[key]
		status, quantity := "F", 1.0
		if v > 1 {
			status = "C"
		}
		if rnd.IntN(5) == 0 {
			status, quantity = "X", 0
		}
		id := fmt.Sprintf("L%02d%07d", w.n, i)
		w.m.expect(key, v)
		w.m.quantity(key, quantity)
		w.m.unit("oru", id)
		return id, []byte(strings.Join([]string{
			`MSH|^~\&|LIS|NORTH|VAGUS|CLOUD|20260314090000+0000||ORU^R01^ORU_R01|` + id + `|P|2.5.1|||AL|NE||UNICODE UTF-8`,
			"PID|1||" + mrn + "^^^NORTH^MR||Quist^Maren^^^^^L||19811105|F||||||||||ACC" + mrn + "^^^NORTH^AN",
			"PV1|1|I|4W^412^A^NORTH",
			fmt.Sprintf("ORC|RE|PO%s%d^EPIC|F%s%d^LIS", mrn, test, mrn, test),
			fmt.Sprintf("OBR|1|PO%s%d^EPIC|F%s%d^LIS|%s^Result of %s v%d^L|||20260314083000|||||||||10023^Welby^Marcus||||||||LAB|%s", mrn, test, mrn, test, labTests[test], labTests[test], v, status),
			fmt.Sprintf("OBX|1|NM|%s^Result^L||%d.%d|mmol/L|1-200|N|||F", labTests[test], 1+rnd.IntN(199), rnd.IntN(10)),
			"OBX|2|ST|MIX-C^Comment^L||seen by the laboratory||||||F", "",
		}, "\r"))
	}, nil)
}

// claimsPerFile are claims of one interchange: an original, and what takes the place of
// those of the two files before.
const claimsPerFile = 3

// aClaim is the charge of the first line of a claim that is an original; that of one
// which takes its place is a unit more, and so on.
const aClaim = 1000

// bill posts interchanges of professional claims.
func (w *ward) bill(ctx context.Context, n int) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for at := range n {
		control := (w.n+1)*100_000 + at
		file := []string{
			fmt.Sprintf("ISA*00*          *00*          *ZZ*MERIDIAN       *ZZ*NORTH          *260505*0830*^*00501*%09d*0*P*:", control),
			fmt.Sprintf("GS*HC*MERIDIAN*NORTH*20260505*0830*%d*X*005010X222A1", control), "ST*837*0001*005010X222A1", fmt.Sprintf("BHT*0019*00*%d*20260505*0830*CH", control),
			"NM1*41*2*MERIDIAN BILLING*****46*1935665544", "PER*IC*BILLING*TE*5550100", "NM1*40*2*EXAMPLE HEALTH PLAN*****46*EXHP",
			"HL*1**20*1", "NM1*85*2*NORTH HOSPITAL*****XX*1234567893", "N3*1 HOSPITAL WAY", "N4*SACRAMENTO*CA*958141234", "REF*EI*941234567",
		}
		for i := range claimsPerFile {
			of, v, frequency := control-i, i, "7"
			if v == 0 || v > at {
				of, v, frequency = control, 0, "1"
			}
			original := ""
			if frequency == "7" {
				original = "REF*F8*ICN" + strconv.Itoa(of) // the payer's number of the claim that is replaced
			}
			payer, claim := fmt.Sprintf("PAY%02d%d", w.n, of%5), fmt.Sprintf("CLM%d%d", of, i-v)
			first, second := aClaim+v, 25+of%50
			file = append(file, fmt.Sprintf("HL*%d*1*22*0", i+2), "SBR*P*18*******CI", fmt.Sprintf("NM1*IL*1*QUIST*MAREN****MI*EX%d%d", control, i), "N3*1 ELM ST", "N4*SACRAMENTO*CA*95814", "DMG*D8*19811105*F",
				"NM1*PR*2*EXAMPLE PLAN*****PI*"+payer,
				fmt.Sprintf("CLM*%s*%d.5***11:B:%s*Y*A*Y*Y", claim, first+second, frequency), original, "HI*ABK:J209",
				"LX*1", fmt.Sprintf("SV1*HC:99213*%d*UN*1***1", first), "DTP*472*D8*20260402", "LX*2", fmt.Sprintf("SV1*HC:99214*%d.5*UN*1***1", second), "DTP*472*D8*20260402")
			w.m.claim(claim, float64(first+second)+.5)
			w.m.unit("claims", fmt.Sprintf("%09d/%d/0001/%d", control, control, i+1))
		}
		file = slices.DeleteFunc(file, func(segment string) bool { return segment == "" })
		file = append(file, fmt.Sprintf("SE*%d*0001", len(file)-1), fmt.Sprintf("GE*1*%d", control), fmt.Sprintf("IEA*1*%09d", control), "")
		answer, err := w.http(ctx, client, "claims", http.MethodPost, "/", "application/edi-x12", strings.Join(file, "~\n"))
		if err != nil {
			return err
		}
		if !strings.Contains(answer, "~AK9*A*1*1*1~") {
			return fmt.Errorf("the claims were answered %s", answer)
		}
	}
	return nil
}

// record puts each patient twice, and then their visit.
func (w *ward) record(ctx context.Context, n int) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	version := map[string]int{}
	for i := range n {
		who := (i / 3) % max(1, len(w.patients)/2)
		patient := fmt.Sprintf("w%02d-%d", w.n, who)
		id, typ := patient, "Patient"
		if i%3 == 2 { // once its patient has been sent
			id, typ = "v-"+patient, "Encounter"
		}
		version[typ+id]++
		v := version[typ+id]
		body := fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"versionId":"%d","lastUpdated":"2026-03-14T09:15:22Z"},"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"value":"F-%s"}],"active":true,
"name":[{"use":"official","family":"Oyelaran","given":["Rosalind","Ada"]}],"telecom":[{"system":"phone","value":"+1 415 5550142","use":"home"},{"system":"email","value":"rosalind@example.org"}],"gender":"female","birthDate":"1984-02-29",
"address":[{"use":"home","line":["1 Elm St","Apt 2 v%d"],"city":"Springfield","state":"CA","postalCode":"90210","country":"USA"}]}`, id, v, id, v)
		key := "patient F-" + id
		if typ == "Encounter" {
			body = fmt.Sprintf(`{"resourceType":"Encounter","id":%q,"meta":{"versionId":"%d"},"identifier":[{"use":"official","value":"%s v%d"}],"status":"in-progress","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IMP"},"subject":{"reference":"Patient/%s"}}`, id, v, id, v, patient)
			key = "visit " + id
		}
		w.m.expect(key, v)
		w.m.unit("fhir", fmt.Sprintf("%s/%s/_history/%d", typ, id, v))
		if _, err := w.http(ctx, client, "fhir", http.MethodPut, "/"+typ+"/"+id, "application/fhir+json", body); err != nil {
			return err
		}
	}
	return nil
}

// mllp sends what next makes by one connection and waits for each acknowledgement.
func (w *ward) mllp(ctx context.Context, feed string, n int, next func(int) (id string, body []byte), acked func(int)) error {
	conn, err := demo.Dial(ctx, w.m.addr[feed])
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range n {
		id, body := next(i)
		attempt, cancel := context.WithTimeout(ctx, time.Minute)
		began := time.Now()
		code, of, err := conn.Send(attempt, body)
		cancel()
		if err != nil || code != "CA" || of != id {
			return fmt.Errorf("%s was answered %q for %q: %v", id, code, of, err)
		}
		w.m.acknowledged(feed, time.Since(began))
		if acked != nil {
			acked(i)
		}
	}
	return nil
}

func (w *ward) http(ctx context.Context, client *http.Client, feed, method, path, media, body string) (answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.m.addr[feed]+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Authorization", "Bearer "+token)
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s %s was answered %d: %s %v", method, path, resp.StatusCode, text, err)
	}
	w.m.acknowledged(feed, time.Since(began))
	return string(text), nil
}
