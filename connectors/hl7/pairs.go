package hl7

import "bytes"

// maxShared bounds what each pair of a merge repeats: the segments before the first PID.
const maxShared = 4096

// pairs cuts a merge of several patients (ADT, HL7 2.5.1 section 3.3.40:
// { PID [PD1] MRG [PV1] }) into one message per pair, as if it had been sent so: every
// byte as it came, with the segments before the first PID ahead of each. Of anything
// else it returns nil: of one pair, and of what is not told apart for
// certain, a PID without MRG or with two of them. body begins where its header does.
func pairs(body []byte, e *envelope) [][]byte {
	if e.wide || string(e.component(9, 1)) != "ADT" || !bytes.Contains(body, []byte("MRG")) {
		return nil
	}
	var starts []int
	merges := 0 // since the last PID
	for at := 0; at < len(body); {
		line, next := body[at:], len(body)
		if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
			line, next = line[:i], at+i+1
		}
		switch lineName(line, e.delims.field) {
		case "PID":
			if merges != min(len(starts), 1) {
				return nil
			}
			starts, merges = append(starts, at), 0
		case "MRG":
			merges++
		}
		at = next
	}
	if len(starts) < 2 || merges != 1 || len(starts) > maxBatch || starts[0] > maxShared {
		return nil
	}
	shared := body[:starts[0]]
	parts := make([][]byte, len(starts))
	for i, from := range starts {
		to := len(body)
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		parts[i] = append(shared[:len(shared):len(shared)], body[from:to]...)
	}
	return parts
}
