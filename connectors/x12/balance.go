package x12

import (
	"math/big"
)

// checkBalance adds up an 835 (005010X221A1 section 1.10.2.1), by exact
// decimals: BPR-02 is what the claims are paid less what the provider's adjustments
// take; a claim's charge less its adjustments, those of its services too, is what it is paid; and so
// for each service. A sum that is not right is noted at the amount that it should have made.
func checkBalance(body []byte, isa *segment, t *setEnvelope) []fault {
	b := balancer{}
	s := &scanner{body: body[:t.end], d: *isa.d, at: t.st.end}
	for position := 2; len(b.faults) < maxFaults; position++ {
		p, ok := s.cut()
		if !ok || p.tag == tagSE {
			break
		}
		if p.fault != nil {
			continue
		}
		seg := s.segment(&p)
		b.add(&seg, position)
	}
	b.endClaim()
	b.compare(&b.bpr, b.total)
	sortFaults(b.faults)
	return b.faults
}

// A sum is an amount that must come out, and where it stands.
type sum struct {
	id, loop string
	position int
	element  int
	want     money
	have     money // what is to be compared
}

type balancer struct {
	bpr, claim, service sum
	total               money // of all claims, less the provider's adjustments
	faults              []fault
}

func (b *balancer) add(s *segment, position int) {
	at := func(n int) money { return moneyOf(s.element(n)) }
	switch s.id {
	case "BPR":
		b.bpr = sum{id: s.id, position: position, element: 2, want: at(2)}
	case "CLP":
		b.endClaim()
		b.claim = sum{id: s.id, loop: "2100", position: position, element: 4, want: at(4), have: at(3)}
		b.total = b.total.plus(at(4))
	case "SVC":
		b.endService()
		b.service = sum{id: s.id, loop: "2110", position: position, element: 3, want: at(3), have: at(2)}
	case "CAS":
		for n := 3; n <= 18; n += 3 {
			b.claim.have = b.claim.have.minus(at(n))
			b.service.have = b.service.have.minus(at(n))
		}
	case "PLB":
		for n := 4; n <= 14; n += 2 {
			b.total = b.total.minus(at(n))
		}
	}
}

func (b *balancer) endService() {
	b.compare(&b.service, b.service.have)
	b.service = sum{}
}

func (b *balancer) endClaim() {
	b.endService()
	b.compare(&b.claim, b.claim.have)
	b.claim = sum{}
}

func (b *balancer) compare(s *sum, have money) {
	if s.position > 0 && !s.want.equals(have) {
		b.faults = append(b.faults, fault{code: "I12", class: balance, segment: s.position, id: s.id, loop: s.loop, element: s.element})
	}
}

// money is an exact amount; nil is 0.
type money struct{ r *big.Rat }

// moneyOf reads an amount. What is none counts as 0: the checker has said so.
func moneyOf(v []byte) money {
	if len(v) == 0 || len(v) > 24 {
		return money{}
	}
	if _, ok := digitsOf(v, true); !ok {
		return money{}
	}
	r, ok := new(big.Rat).SetString(string(v))
	if !ok {
		return money{}
	}
	return money{r}
}

func (m money) plus(n money) money {
	if n.r == nil {
		return m
	}
	if m.r == nil {
		return n
	}
	return money{new(big.Rat).Add(m.r, n.r)}
}

func (m money) minus(n money) money {
	if n.r == nil {
		return m
	}
	return m.plus(money{new(big.Rat).Neg(n.r)})
}

func (m money) equals(n money) bool { d := m.minus(n); return d.r == nil || d.r.Sign() == 0 }
