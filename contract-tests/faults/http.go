package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

// A caller sends by HTTP, with a connection of its own.
type caller struct {
	client *http.Client
	token  string
}

func newCaller(r *run) caller {
	return caller{&http.Client{Transport: &http.Transport{}}, r.sys.token}
}

func (c caller) close() { c.client.CloseIdleConnections() }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

func (c caller) call(ctx context.Context, method, url, media string, body []byte) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(string(body)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, string(text), err
}

// A billing posts interchanges of two claims: a new one, and a later version of an earlier one.
type billing struct {
	names
	caller
	url, payer string
	feed       string
	control    int
	versions   []int // of each claim
	rnd        *rand.Rand
}

func newBilling(r *run, n int) *billing {
	return &billing{names: names{sender: fmt.Sprintf("claims%d", n)}, caller: newCaller(r), url: "http://" + r.sys.feeds["claims"] + "/", feed: "claims",
		payer: fmt.Sprintf("PAY%02d", n), control: (n + 1) * 1_000_000, rnd: rand.New(rand.NewPCG(r.seed, uint64(n)+100))}
}

func (s *billing) next() letter {
	s.control++
	s.versions = append(s.versions, 0)
	which := []int{len(s.versions) - 1}
	if old := s.rnd.IntN(len(s.versions)); old != which[0] {
		which = append(which, old)
	}
	file := []string{
		fmt.Sprintf("ISA*00*          *00*          *ZZ*MERIDIAN       *ZZ*NORTH          *260505*0830*^*00501*%09d*0*P*:", s.control),
		fmt.Sprintf("GS*HC*MERIDIAN*NORTH*20260505*0830*%d*X*005010X222A1", s.control), "ST*837*0001*005010X222A1", fmt.Sprintf("BHT*0019*00*%d*20260505*0830*CH", s.control),
		"NM1*41*2*MERIDIAN BILLING*****46*1935665544", "PER*IC*BILLING*TE*5550100", "NM1*40*2*EXAMPLE HEALTH PLAN*****46*EXHP",
		"HL*1**20*1", "NM1*85*2*NORTH HOSPITAL*****XX*1234567893", "N3*1 HOSPITAL WAY", "N4*SACRAMENTO*CA*958141234", "REF*EI*941234567",
	}
	var l letter
	for i, c := range which {
		s.versions[c]++
		claim, v := fmt.Sprintf("%s%d", strings.ToUpper(s.sender), c), s.versions[c]
		frequency, details := "1", []string{"HI*ABK:J209"}
		if v > 1 {
			frequency, details = "7", []string{fmt.Sprintf("REF*F8*ICN%d", c), "HI*ABK:J209"} // the payer's number of what is replaced
		}
		first, second := audit.ClaimBase+v, 25+c%50
		file = append(file, fmt.Sprintf("HL*%d*1*22*0", i+2), "SBR*P*18*******CI", fmt.Sprintf("NM1*IL*1*QUIST*MAREN****MI*EX%d%d", s.control, i), "N3*1 ELM ST", "N4*SACRAMENTO*CA*95814", "DMG*D8*19811105*F",
			"NM1*PR*2*EXAMPLE PLAN*****PI*"+s.payer,
			fmt.Sprintf("CLM*%s*%d.5***11:B:%s*Y*A*Y*Y", claim, first+second, frequency))
		file = append(append(file, details...),
			"LX*1", fmt.Sprintf("SV1*HC:99213*%d*UN*1***1", first), "DTP*472*D8*20260402", "LX*2", fmt.Sprintf("SV1*HC:99214*%d.5*UN*1***1", second), "DTP*472*D8*20260402")
		l.offers = append(l.offers, audit.Offer{Message: s.names.next(), Feed: s.feed, SenderID: fmt.Sprintf("%09d/%d/0001/%d", s.control, s.control, i+1),
			Thing: "claim " + claim, Version: v, Also: []string{"patient " + s.payer}, Want: audit.Applied})
	}
	file = append(file, fmt.Sprintf("SE*%d*0001", len(file)-1), fmt.Sprintf("GE*1*%d", s.control), fmt.Sprintf("IEA*1*%09d", s.control), "")
	l.body = []byte(strings.Join(file, "~\n"))
	return l
}

func (s *billing) deliver(ctx context.Context, l letter) (string, bool, error) {
	status, answer, err := s.call(ctx, http.MethodPost, s.url, "application/edi-x12", l.body)
	if err != nil {
		return "", false, err
	}
	return fmt.Sprint(status), status/100 == 2 && strings.Contains(answer, "~AK9*A*1*1*1~"), nil
}

// A records system puts patients, and their visits.
type records struct {
	names
	caller
	url      string
	n        int
	patients int
	versions map[string]int
	rnd      *rand.Rand
}

func newRecords(r *run, n, patients int) *records {
	return &records{names: names{sender: fmt.Sprintf("fhir%d", n)}, caller: newCaller(r), url: "http://" + r.sys.feeds["fhir"], n: n, patients: patients,
		versions: map[string]int{}, rnd: rand.New(rand.NewPCG(r.seed, uint64(n)+200))}
}

func (s *records) next() letter {
	patient := fmt.Sprintf("w%02d-%d", s.n, s.rnd.IntN(s.patients))
	id, typ := patient, "Patient"
	if s.versions[patient] > 0 && s.rnd.IntN(3) == 0 {
		id, typ = "v-"+patient, "Encounter"
	}
	s.versions[id]++
	v := s.versions[id]
	o := audit.Offer{Message: s.names.next(), Feed: "fhir", SenderID: fmt.Sprintf("%s/%s/_history/%d", typ, id, v), Version: v, Want: audit.Applied}
	var body string
	if typ == "Patient" {
		o.Thing = "patient F-" + id
		body = fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"versionId":"%d","lastUpdated":"2026-03-14T09:15:22Z"},"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"value":"F-%s"}],"active":true,
"name":[{"use":"official","family":"Oyelaran","given":["Rosalind","Ada"]}],"telecom":[{"system":"phone","value":"+1 415 5550142","use":"home"},{"system":"email","value":"rosalind@example.org"}],"gender":"female","birthDate":"1984-02-29",
"address":[{"use":"home","line":["1 Elm St","Apt 2 v%d"],"city":"Springfield","state":"CA","postalCode":"90210","country":"USA"}]}`, id, v, id, v)
	} else {
		o.Thing = "visit " + id
		body = fmt.Sprintf(`{"resourceType":"Encounter","id":%q,"meta":{"versionId":"%d"},"identifier":[{"use":"official","value":"%s v%d"}],"status":"in-progress","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IMP"},"subject":{"reference":"Patient/%s"}}`, id, v, id, v, patient)
	}
	return letter{offers: []audit.Offer{o}, body: []byte(body), where: "/" + typ + "/" + id}
}

func (s *records) deliver(ctx context.Context, l letter) (string, bool, error) {
	status, _, err := s.call(ctx, http.MethodPut, s.url+l.where, "application/fhir+json", l.body)
	return fmt.Sprint(status), status/100 == 2, err
}
