package x12

import "bytes"

// maxSets bounds the transaction sets of one interchange.
const maxSets = 100_000

// split cuts interchanges into messages: one for each ST to SE, after a copy
// of the ISA and GS that hold for it, and one for each TA1, after its ISA.
func split(body []byte) ([][]byte, error) {
	s, err := newScanner(body)
	if err != nil {
		return nil, err
	}
	var (
		parts   [][]byte
		isa, gs []byte
		open    segment // ST of the set in hand; its raw is nil when none is
		part    = func(from, to int) { parts = append(parts, bytes.Join([][]byte{isa, gs, body[from:to]}, nil)) }
	)
	for {
		seg, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if open.raw != nil && (seg.id == "ST" || seg.id == "GS" || seg.id == "GE" || seg.id == "ISA" || seg.id == "IEA") {
			return nil, seg.errorf(0, 0, "the transaction set of segment %d has no SE", open.number)
		}
		switch seg.id {
		case "ISA":
			isa, gs = body[seg.start:seg.end], nil
		case "GS":
			gs = body[seg.start:seg.end]
		case "GE":
			gs = nil
		case "ST":
			open = seg
		case "SE":
			if open.raw == nil {
				return nil, seg.errorf(0, 0, "SE without ST")
			}
			part(open.start, seg.end)
			open = segment{}
		case "TA1":
			if open.raw == nil {
				part(seg.start, seg.end)
			}
		}
		if len(parts) > maxSets {
			return nil, seg.errorf(0, 0, "over %d transaction sets at once", maxSets)
		}
	}
	if open.raw != nil {
		return nil, open.errorf(0, 0, "the transaction set has no SE")
	}
	if len(parts) == 0 {
		return nil, &syntaxError{offset: len(body), what: "the interchange holds no transaction set"}
	}
	return parts, nil
}
